"""Sizes that the hardware limits for every layer."""

from __future__ import annotations

from collections.abc import Iterator

from sim.arch.limits import HardwareLimits
from sim.arch.machine import Machine
from sim.ir.ops import Pads, Steps

__all__ = ["footprint_sizes", "largest_coordinate"]


def largest_coordinate(limits: HardwareLimits) -> int:
    """Return the largest coordinate in a padded map, stride and dilation."""
    return (1 << (limits.map_bits - 1)) - 1


def footprint_sizes(size: tuple[int, int], pads: Pads, stride: Steps, taps: int, machine: Machine,
                 limits: HardwareLimits) -> Iterator[tuple[str, int, int]]:
    """Yield (what, how many, at most) for a window that slides over a map of (height, width)."""
    top, left, bottom, right = pads
    largest = largest_coordinate(limits)
    yield "rows of a padded map", size[0] + top + bottom, largest
    yield "pixels in a row of a padded map", size[1] + left + right, largest
    yield "rows between two row groups, vertical stride times columns", stride[0] * machine.columns, largest
    yield "as stride", stride[1], largest
    yield "taps", taps, 1 << limits.tap_bits
