"""Pieces of a cocotb bench for any hardware: they are given signals, and know the names of none."""
