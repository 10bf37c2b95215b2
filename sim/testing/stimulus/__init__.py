"""Random machines, Programs and codes that reach the corners."""
