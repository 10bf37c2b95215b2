"""The harness of the lean engine: C++ that drives the pins of Verilator's model, and the process that it becomes."""
