"""Fast kernels: machine code for the loops of a Program, bit for bit what `sim.loops` and `sim.requantize` give."""

from sim.kernels.sources import AT_IMPORT as AT_IMPORT  # first of all, before a file is edited
