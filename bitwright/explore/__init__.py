"""Spaces of machines, memories, networks and bits: what is legal in them, what each costs, and which are best."""
