"""The accelerator as a peripheral: AXI buses, control and status registers, program loader, faults."""
