"""Fast kernels: machine code for the inner loops of a Program, each bit for bit what `sim.loops` and `sim.requantize` give."""
