"""The co-design loop: one Program in every engine, networks, and the demo."""
