"""Engines that move tensors, weights and parameters between the streams and the memories."""
