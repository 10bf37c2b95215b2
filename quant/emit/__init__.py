"""A typed graph as a module of the layers that the quantizers read."""
