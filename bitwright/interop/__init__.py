"""Programs for other tools."""
