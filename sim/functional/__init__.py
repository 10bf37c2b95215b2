"""Bit-exact values: the reference in plain loops, and the fast engine with its kernels."""
