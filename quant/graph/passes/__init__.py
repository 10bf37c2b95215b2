"""Passes that make a typed graph simpler, each by itself: every value that is left stays the same."""
