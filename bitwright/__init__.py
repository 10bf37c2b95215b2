"""What stands above `sim`, `quant` and `rtl`: the command line and the co-design loop."""
