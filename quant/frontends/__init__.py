"""Models of every source as typed graphs."""
