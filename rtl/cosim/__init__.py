"""Programs on the RTL in a simulator, compared with what `sim` says."""
