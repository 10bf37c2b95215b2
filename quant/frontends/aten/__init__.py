"""Models that torch.export has made, in memory or in files."""
