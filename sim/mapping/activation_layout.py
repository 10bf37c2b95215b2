"""Where every bit of a tensor lies in the activation memories.

Bits are 0/1 uint8 arrays with the lane as the last axis; packing them into words is the business of what drives a
memory or a stream.
"""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray

from sim.arch.machine import Machine
from sim.ir.ops import Tensor

__all__ = ["Bits", "bank_contents", "blocks_of", "read_bank_contents", "tensor_words"]

Bits = NDArray[np.uint8]
"""An array of bits, 0 or 1 each."""


def blocks_of(parts: tuple[int, ...], lanes: int) -> int:
    """Return the number of words of `lanes` channels that hold a pixel: every part starts a fresh one."""
    return sum(ceil(part / lanes) for part in parts)


def tensor_words(tensor: Tensor, machine: Machine) -> int:
    """Count the words per bank that a tensor takes.

    `word(y, x, block, plane) = base + (((y // columns) * width + x) * blocks + block) * bits + plane` in bank
    `y mod columns`; channel c of a part is lane `c mod lanes` of the part's block `c // lanes`.
    """
    groups = ceil(tensor.height / machine.columns)
    return groups * tensor.width * blocks_of(tensor.parts, machine.lanes) * tensor.format.bits


def bank_contents(codes: NDArray[np.integer], tensor: Tensor, machine: Machine) -> Bits:
    """Return the words of a tensor, shape (columns, tensor_words, lanes); lanes and rows without data are 0.

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


def read_bank_contents(contents: Bits, tensor: Tensor, machine: Machine) -> NDArray[np.int32]:
    """Return the codes that `contents` holds, shape (channels, height, width): the inverse of `bank_contents`."""
    lanes, columns, bits = machine.lanes, machine.columns, tensor.format.bits
    groups = ceil(tensor.height / columns)
    split = contents.astype(np.int64).reshape(columns, groups, tensor.width, -1, bits, lanes)
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
