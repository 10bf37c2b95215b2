"""Layers of our own, of which networks are made beside those of torch."""
