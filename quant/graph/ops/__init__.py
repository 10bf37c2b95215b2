"""The operators of the typed graph: one frozen dataclass each, whose `compute` is its meaning."""
