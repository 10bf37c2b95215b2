"""The accelerator on an FPGA board: a serial line instead of buses, the host's end of it, and files for open tools."""
