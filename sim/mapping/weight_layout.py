"""Where every bit of weights and parameters lies in the stream of a row tile.

Bits are 0/1 uint8 arrays with the lane as the last axis.
"""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray

from sim.arch.machine import Machine
from sim.ir.ops import Conv
from sim.mapping.activation_layout import Bits
from sim.mapping.conv_schedule import ConvSchedule
from sim.mapping.parameter_packet import packet_words, packets

__all__ = ["lane_weight_words", "row_tile_words"]


def row_tile_words(conv: Conv, schedule: ConvSchedule, tile: int, machine: Machine) -> Bits:
    """Return the stream of a row tile, shape (groups * packet_words + weight_words, rows, lanes).

    Parameter words come first, group after group, then weight words `(tap group * channel blocks + block) * bits +
    plane`, or on depthwise lanes those of `lane_weight_words`; rows beyond the last channel are zero words.
    """
    first = tile * schedule.tile_channel_groups
    parameters = [_parameter_words(conv, first + group, machine) for group in range(schedule.tile_channel_groups)]
    if not schedule.weight_words:
        return np.concatenate(parameters)
    if schedule.on_depthwise_unit:
        return np.concatenate([*parameters, lane_weight_words(conv, tile, machine)])
    first = tile * machine.rows
    last = min(first + machine.rows, conv.channels)
    words = np.zeros((schedule.weight_words, machine.rows, machine.lanes), np.uint8)
    words[:, : last - first] = _weight_words(conv, schedule, first, last, machine)
    return np.concatenate([*parameters, words])


def _parameter_words(conv: Conv, group: int, machine: Machine) -> Bits:
    """Return the packets of the `group`-th `rows` channels, shape (packet_words, rows, lanes)."""
    first = group * machine.rows
    last = min(first + machine.rows, conv.channels)
    words = np.zeros((packet_words(machine), machine.rows, machine.lanes), np.uint8)
    if first < last:
        words[:, : last - first] = packets(conv, slice(first, last), machine)
    return words


def _weight_words(conv: Conv, schedule: ConvSchedule, first: int, last: int, machine: Machine) -> Bits:
    """Put plane i of w[o, beta*lanes + l, tap tau*P + s] into bit `s*lanes/P + l` of word (tau, beta, i)."""
    segment, packing = machine.lanes // schedule.packing, schedule.packing
    taps, groups = schedule.shape.taps, ceil(schedule.shape.taps / schedule.packing)
    own, window = schedule.own_block, schedule.window
    weights = (conv if own else conv.ungrouped()).weights
    codes = weights[first:last].astype(np.int64).reshape(last - first, -1, taps)
    lanes = np.zeros((last - first, schedule.channel_blocks * segment, groups * packing), np.int64)
    if window is not None and not own:
        start = window.first_block(first // machine.rows, machine.lanes, ceil(codes.shape[1] / machine.lanes))
        seen = codes[:, start * machine.lanes : (start + window.blocks) * machine.lanes]
        lanes[:, : seen.shape[1], :taps] = seen
    elif own:
        rows, inputs = np.arange(last - first)[:, None], codes.shape[1]
        lanes[rows, ((first + rows) // inputs * inputs + np.arange(inputs)) % segment, :taps] = codes
    else:
        lanes[:, _lane_of_channel(schedule, segment), :taps] = codes
    split = lanes.reshape(last - first, schedule.channel_blocks, segment, groups, packing)
    planes = (split[..., None] >> np.arange(conv.weight_format.bits)) & 1
    return planes.transpose(3, 1, 5, 0, 4, 2).reshape(-1, last - first, machine.lanes).astype(np.uint8)


def _lane_of_channel(schedule: ConvSchedule, segment: int) -> NDArray[np.int64]:
    """Return the position of every input channel in the concatenated blocks: each part starts a fresh block."""
    positions, start = [], 0
    for part in schedule.shape.in_parts:
        positions.append(start + np.arange(part))
        start += ceil(part / segment) * segment
    return np.concatenate(positions)


def lane_weight_words(conv: Conv, tile: int, machine: Machine) -> NDArray[np.uint8]:
    """Return the weight words of a tile of V channels, shape (taps, rows, lanes).

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
