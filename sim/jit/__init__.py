"""How the numeric loops of `sim` are compiled, and which settings of Numba matter."""
