"""The fast engine: the memory of tensors, the kernels of ops, and the call that runs them all."""
