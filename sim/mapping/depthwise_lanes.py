"""Depthwise lanes: what they can run.

Beside its processing elements a column may have V = `depthwise_lanes` lanes, each with an accumulator of its own. A
read brings an activation plane of V channels; every lane whose bit is set adds its channel's weight, shifted to the
plane. So each channel of the word is of use, and a depthwise layer takes time in proportion to its taps and activation
bits alone, whatever its weight bits. The sums of a pixel then move into the accumulators of the array, R channels per
cycle, from where the requantizers take them.
"""

from __future__ import annotations

from math import ceil

from sim.arch.machine import Machine
from sim.arch.widths import lane_sum_bits
from sim.mapping.conv_shape import ConvShape

__all__ = ["fits_depthwise_unit", "tile_channel_groups"]


def tile_channel_groups(channels: int, machine: Machine) -> int:
    """Return how many groups of `rows` channels the lanes finish together, fewer for a layer of fewer channels."""
    return min(machine.depthwise_lanes // machine.rows, ceil(channels / machine.rows))


def fits_depthwise_unit(shape: ConvShape, machine: Machine) -> bool:
    """Tell whether a layer runs on the depthwise lanes: there are some, and no sum of its window overflows them."""
    unsigned = int(shape.weight_kind != "signed")
    sum_bits = shape.bits_w + unsigned + shape.bits_a + (shape.taps - 1).bit_length()
    return shape.depthwise and machine.depthwise_lanes > 0 and sum_bits <= lane_sum_bits(machine)
