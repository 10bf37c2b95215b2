"""Quantizers: what each is, and the kinds there are."""
