"""Quantization after training, from a few hundred images without labels."""
