"""Fit a network's quantizers and biases to images without labels, in one walk in execution order."""
