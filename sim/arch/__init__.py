"""What a machine is: its parameters, their limits, and the memory of its host."""
