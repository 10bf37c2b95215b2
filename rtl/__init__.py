"""The accelerator: Amaranth hardware, its Verilog and its cocotb benches."""
