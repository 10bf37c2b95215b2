"""Functional coverage: the situations that a set of Programs has met."""
