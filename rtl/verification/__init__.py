"""Benches of single blocks, proofs, and mutants of the netlist."""
