"""Limits of the hardware that no machine parameter changes: how far its counters and tables reach."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LIMITS", "HardwareLimits"]


@dataclass(frozen=True)
class HardwareLimits:
    """Depths of tables and widths of counters, the same on every machine.

    Attributes
    ----------
    max_ops : int
        Convs and Pools of a Program, its Loads, and its Stores: the depths of the descriptor memories.
    max_parts : int
        Parts of an input that bipolar weights may read: the reference row must know where each one ends.
    tile_bits : int
        Width of the counters of an op's row tiles, which start from 0 like all that follow.
    block_bits : int
        Of the words that hold all channels of a pixel.
    tap_bits : int
        Of the taps of a window.
    pixel_bits : int
        Of the pixels of a column in a row tile.
    step_bits : int
        Of the cycles of a step, and of the requantizer for a pixel.
    map_bits : int
        Width of coordinates in a padded map, signed, and of strides and dilations.
    counter_bits : int
        Width of the performance counters.
    """

    max_ops: int = 256
    max_parts: int = 4
    tile_bits: int = 12
    block_bits: int = 12
    tap_bits: int = 12
    pixel_bits: int = 20
    step_bits: int = 20
    map_bits: int = 16
    counter_bits: int = 40


LIMITS = HardwareLimits()
"""Those of the hardware that is built."""
