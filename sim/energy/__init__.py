"""Energy: counts of events times what a technology charges for each."""
