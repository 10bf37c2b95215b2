"""Fast kernels: machine code for the ops of a Program, bit for bit equal to the plain loops."""

from sim.functional.kernels.source_digest import AT_IMPORT as AT_IMPORT  # first of all, before a file is edited
