"""Functional coverage: which situations a set of Programs has met."""
