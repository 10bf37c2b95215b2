"""The halves of benches that run inside the simulator."""
