"""Mutation: faults in the emitted netlist, and what finds them."""
