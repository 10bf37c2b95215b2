"""Where every bit lies: activation banks, weight words and parameter packets.

Bits are 0/1 uint8 arrays with the lane as the last axis; packing them into words is the business of whoever drives
a memory or a stream.
"""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray

from sim.arch.machine import Machine
from sim.ir.ops import Conv, Tensor
from sim.mapping.depthwise_lanes import lane_weight_words
from sim.mapping.parameter_packet import packet_words, packets
from sim.mapping.schedule import ConvSchedule, blocks_of

__all__ = ["activation_image", "read_activation_image", "row_tile_words", "tensor_words"]

Bits = NDArray[np.uint8]


def tensor_words(tensor: Tensor, machine: Machine) -> int:
    """Words per bank that a tensor takes.

    `word(y, x, block, plane) = base + (((y // columns) * width + x) * blocks + block) * bits + plane` in bank
    `y mod columns`; channel c of a part is lane `c mod lanes` of the part's block `c // lanes`.
    """
    groups = ceil(tensor.height / machine.columns)
    return groups * tensor.width * blocks_of(tensor.parts, machine.lanes) * tensor.format.bits


def activation_image(codes: NDArray[np.integer], tensor: Tensor, machine: Machine) -> Bits:
    """The words of a tensor, shape (columns, tensor_words, lanes); lanes and rows without data are 0.

    Parameters
    ----------
    codes : integer array, shape (channels, height, width)
    """
    lanes, columns = machine.lanes, machine.columns
    blocks = []
    for part in range(len(tensor.parts)):
        piece = codes[tensor.part_slice(part)].astype(np.int64)
        padded = np.zeros((ceil(len(piece) / lanes) * lanes, *piece.shape[1:]), np.int64)
        padded[: len(piece)] = piece
        blocks.append(padded.reshape(-1, lanes, *piece.shape[1:]))
    groups = ceil(tensor.height / columns)
    words = np.zeros((sum(map(len, blocks)), lanes, groups * columns, tensor.width), np.int64)
    words[:, :, : tensor.height] = np.concatenate(blocks)
    planes = (words[..., None] >> np.arange(tensor.format.bits)) & 1
    split = planes.reshape(*words.shape[:2], groups, columns, tensor.width, tensor.format.bits)
    return split.transpose(3, 2, 4, 0, 5, 1).reshape(columns, -1, lanes).astype(np.uint8)


def read_activation_image(image: Bits, tensor: Tensor, machine: Machine) -> NDArray[np.int32]:
    """The codes that `image` holds: the inverse of `activation_image`, shape (channels, height, width)."""
    lanes, columns, bits = machine.lanes, machine.columns, tensor.format.bits
    groups = ceil(tensor.height / columns)
    split = image.astype(np.int64).reshape(columns, groups, tensor.width, -1, bits, lanes)
    weights = np.int64(1) << np.arange(bits)
    if tensor.format.kind == "signed":
        weights[-1] = -weights[-1]
    words = np.einsum("cgxbjl,j->blgcx", split, weights).reshape(split.shape[3], lanes, groups * columns, -1)
    pieces, first = [], 0
    for part in tensor.parts:
        count = ceil(part / lanes)
        pieces.append(words[first : first + count].reshape(count * lanes, *words.shape[2:])[:part])
        first += count
    return np.concatenate(pieces)[:, : tensor.height].astype(np.int32)


def row_tile_words(conv: Conv, schedule: ConvSchedule, tile: int, machine: Machine) -> Bits:
    """What is streamed for a row tile, shape (groups * packet_words + weight_words, rows, lanes), in stream order.

    Parameter words come first, group after group, then weight words `(tap group * channel blocks + block) * bits +
    plane`, or on depthwise lanes those of `sim.mapping.depthwise_lanes`; rows beyond the last channel are zero words.
    """
    parameters = [_parameter_words(conv, tile * schedule.groups + group, machine) for group in range(schedule.groups)]
    if not schedule.weight_words:
        return np.concatenate(parameters)
    if schedule.lanewise:
        return np.concatenate([*parameters, lane_weight_words(conv, tile, machine)])
    first = tile * machine.rows
    last = min(first + machine.rows, conv.channels)
    words = np.zeros((schedule.weight_words, machine.rows, machine.lanes), np.uint8)
    words[:, : last - first] = _weight_words(conv, schedule, first, last, machine)
    return np.concatenate([*parameters, words])


def _parameter_words(conv: Conv, group: int, machine: Machine) -> Bits:
    """Packets of the `group`-th `rows` channels, shape (packet_words, rows, lanes)."""
    first = group * machine.rows
    last = min(first + machine.rows, conv.channels)
    words = np.zeros((packet_words(machine), machine.rows, machine.lanes), np.uint8)
    if first < last:
        words[:, : last - first] = packets(conv, slice(first, last), machine)
    return words


def _weight_words(conv: Conv, schedule: ConvSchedule, first: int, last: int, machine: Machine) -> Bits:
    """Bit `s*lanes/P + l` of word (tau, beta, i) is plane i of w[o, beta*lanes + l, tap tau*P + s]."""
    segment, packing = machine.lanes // schedule.packing, schedule.packing
    taps, groups = schedule.shape.taps, ceil(schedule.shape.taps / schedule.packing)
    codes = conv.weights[first:last].astype(np.int64).reshape(last - first, -1, taps)
    lanes = np.zeros((last - first, schedule.channel_blocks * segment, groups * packing), np.int64)
    if conv.depthwise:
        rows = np.arange(last - first)
        lanes[rows, (first + rows) % segment, :taps] = codes[:, 0]
    else:
        lanes[:, _lane_of_channel(schedule, segment), :taps] = codes
    split = lanes.reshape(last - first, schedule.channel_blocks, segment, groups, packing)
    planes = (split[..., None] >> np.arange(conv.weight_format.bits)) & 1
    return planes.transpose(3, 1, 5, 0, 4, 2).reshape(-1, last - first, machine.lanes).astype(np.uint8)


def _lane_of_channel(schedule: ConvSchedule, segment: int) -> NDArray[np.int64]:
    """Position of every input channel in the concatenated blocks: each part starts a fresh block."""
    positions, start = [], 0
    for part in schedule.shape.in_parts:
        positions.append(start + np.arange(part))
        start += ceil(part / segment) * segment
    return np.concatenate(positions)
