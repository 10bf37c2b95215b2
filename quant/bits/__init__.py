"""Which bits: sensitivities, allocation problems, solvers, and reallocation during training."""
