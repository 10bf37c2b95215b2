"""Depthwise lanes: what they can run, and how the weights of such a layer lie.

Beside its processing elements a column may have V = `depthwise_lanes` lanes, each with an accumulator of its own. A
read brings an activation plane of V channels; every lane whose bit is set adds its channel's weight, shifted to the
plane. So each channel of the word is of use, and a depthwise layer takes time in proportion to its taps and activation
bits alone, whatever its weight bits. The sums of a pixel then move into the accumulators of the array, R channels per
cycle, from where the requantizers take them.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.arch.machine import Machine
from sim.arch.widths import lane_sum_bits
from sim.ir.ops import Conv

if TYPE_CHECKING:
    from sim.mapping.schedule import ConvShape

__all__ = ["fits_lanes", "lane_groups", "lane_weight_words"]


def lane_groups(channels: int, machine: Machine) -> int:
    """Groups of `rows` channels that the lanes finish together, less for a layer of fewer channels."""
    return min(machine.depthwise_lanes // machine.rows, ceil(channels / machine.rows))


def fits_lanes(shape: ConvShape, machine: Machine) -> bool:
    """Whether a layer runs on the depthwise lanes: there are some, and no sum of its window overflows them."""
    unsigned = int(shape.weight_kind != "signed")
    sum_bits = shape.bits_w + unsigned + shape.bits_a + (shape.taps - 1).bit_length()
    return shape.depthwise and machine.depthwise_lanes > 0 and sum_bits <= lane_sum_bits(machine)


def lane_weight_words(conv: Conv, tile: int, machine: Machine) -> NDArray[np.uint8]:
    """Weight words of a tile of V channels, shape (taps, rows, lanes).

    Plane i of channel tile * V + v is bit (i // rows) * V + v of the word in row i mod rows.
    """
    lanes, rows = machine.depthwise_lanes, machine.rows
    taps = conv.kernel[0] * conv.kernel[1]
    codes = conv.weights[tile * lanes : (tile + 1) * lanes].reshape(-1, taps).astype(np.int64)
    words = np.zeros((taps, rows, machine.lanes), np.uint8)
    for plane in range(conv.weight_format.bits):
        first = plane // rows * lanes
        words[:, plane % rows, first : first + len(codes)] = (codes.T >> plane) & 1
    return words
