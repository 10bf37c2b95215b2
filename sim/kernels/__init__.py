"""Fast kernels: machine code for the loops of a Program, bit for bit what `sim.loops` and `sim.requantize` give."""
