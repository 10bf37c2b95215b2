"""The on-chip memories."""
