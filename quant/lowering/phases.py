"""Larger maps, phase by phase: the Convs of a layer whose outputs are spread over a larger map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from quant.layers.bilinear import Bilinear
from quant.stages.enlarging import enlarging
from sim.ir.ops import Conv, Lattice, Op, Pads, Steps
from sim.ir.ops import Tensor as Map
from sim.ir.program import Program

__all__ = ["fitted", "in_phases", "lattices", "layer_of", "phase_name", "pieces_of"]


def lattices(factors: tuple[int, int]) -> list[Lattice]:
    """Return the pixels of each phase of a larger map, row by row of a block."""
    return [Lattice(offset, factors) for offset in product(range(factors[0]), range(factors[1]))]


def phase_name(name: str, lattice: Lattice) -> str:
    """Return the name of the op that makes a phase.

    >>> phase_name("up", Lattice((1, 0), (2, 2)))
    'up/1.0'
    """
    return f"{name}/{lattice.offset[0]}.{lattice.offset[1]}"


def layer_of(name: str) -> str:
    """Return the name of the layer of which an op makes a phase, empty for another op.

    >>> layer_of("up/1.0"), layer_of("up")
    ('up', '')
    """
    return name.rpartition("/")[0]


def pieces_of(conv: Conv, layer: Bilinear, source: Map) -> Iterator[Conv]:
    """Yield the Convs that fill a larger map of `source` together, all with the requantizer of `conv`."""
    for operator, lattice in enlarging(layer, source):
        yield replace(conv, name=phase_name(conv.name, lattice), weights=operator.stored, lattice=lattice,
                      weight_format=operator.format, stride=operator.stride)


def fitted(weights: NDArray[np.int8], pads: Pads, dilation: Steps, extents: tuple[int, int],
           size: tuple[int, int]) -> tuple[NDArray[np.int8], Pads]:
    """Return weights and pads of a layer of stride 1 that makes the first `size` rows and columns of its map.

    Taps that are 0 in all channels at the edges of its kernel are left out; where the map would still be larger, the
    kernel gets such taps.

    Parameters
    ----------
    weights : int8 array, shape (O, C / groups, kh, kw)
    pads, dilation
        As in `Conv`.
    extents : (height, width)
        Of the input.
    size : (rows, columns)
    """
    around = list(pads)
    for axis, (extent, wanted, step) in enumerate(zip(extents, size, dilation, strict=True)):
        taps = np.flatnonzero(weights.any(axis=(0, 1, 3 - axis)))
        first, last = (int(taps[0]), int(taps[-1])) if len(taps) else (0, 0)
        start = step * first - around[axis]  # where the first output reads its first tap
        while start > 0:
            first, start = first - 1, start - step
        beyond = start + step * (last - first) + wanted - extent  # rows that the last output reads beyond the map
        while beyond < 0:
            last, beyond = last + 1, beyond + step
        weights = _cut(weights, axis + 2, first, last + 1)
        around[axis], around[axis + 2] = -start, beyond
    top, left, bottom, right = around
    return weights, (top, left, bottom, right)


def _cut(weights: NDArray[np.int8], axis: int, first: int, stop: int) -> NDArray[np.int8]:
    """Return taps first ... stop - 1 along an axis; those that are not there are 0."""
    around = [(0, 0)] * 4
    around[axis] = max(0, -first), max(0, stop - weights.shape[axis])
    padded = np.pad(weights, around)
    return padded[(slice(None),) * axis + (slice(first + around[axis][0], stop + around[axis][0]),)]


def in_phases(program: Program) -> Program:
    """Return a Program in which layers write their phases of a larger map where one only moved their outputs there.

    The outputs of such a layer are read by the copies of `Draft.spread` alone; each copy becomes the layer with the
    output channels that it takes, at its place, and the tensor between them is gone.
    """
    readers: dict[str, list[Op]] = {}
    writers: dict[str, list[Op]] = {}
    for op in program.ops:
        writers.setdefault(op.output, []).append(op)
        for name in op.reads:
            readers.setdefault(name, []).append(op)
    merged: dict[str, Conv] = {}
    for name, copies in readers.items():
        makers = writers.get(name, [])
        if len(makers) == 1 and isinstance(makers[0], Conv) and _can_merge(program, makers[0], copies):
            merged[name] = makers[0]
    if not merged:
        return program
    ops: list[Op] = []
    for op in program.ops:
        if op.output not in merged:
            ops.append(_phase(program, merged[op.input], op) if isinstance(op, Conv) and op.input in merged else op)
    tensors = tuple(tensor for tensor in program.tensors if tensor.name not in merged)
    return replace(program, tensors=tensors, ops=tuple(ops))


def _can_merge(program: Program, maker: Conv, copies: Sequence[Op]) -> bool:
    """Tell whether a layer's outputs are only spread, each of its channels to one phase."""
    if (maker.residual is not None or maker.lattice is not None or maker.stride != (1, 1)
            or maker.weight_format.kind == "bipolar"):
        return False
    taken = [_taken(copy) for copy in copies if isinstance(copy, Conv)]
    if len(taken) != len(copies) or any(rows is None for rows in taken):
        return False
    rows = np.concatenate([found for found in taken if found is not None])
    return len(rows) == maker.channels and len(np.unique(rows)) == maker.channels and all(
        len(found) % maker.groups == 0 for found in taken if found is not None)


def _taken(copy: Conv) -> NDArray[np.intp] | None:
    """Return the channels that a copy takes; None if it is none that writes a lattice."""
    moves = (copy.lattice is not None and copy.input_parts is None and copy.groups == 1 and copy.stride == (1, 1)
             and copy.weight_format.kind == "unsigned" and copy.weight_format.bits == 1 and copy.table is None
             and copy.residual is None and not copy.shift.any() and bool((copy.multiplier == 1).all())
             and copy.weights.reshape(copy.channels, -1).sum(1).tolist() == [1] * copy.channels)
    return copy.weights[:, :, 0, 0].argmax(1) if moves and copy.weights[:, :, 0, 0].any(1).all() else None


def _phase(program: Program, maker: Conv, copy: Conv) -> Conv:
    """Return the layer with the output channels that a copy takes, at the copy's place."""
    rows, source = _taken(copy), program.tensor(maker.input)
    assert rows is not None
    assert copy.lattice is not None
    size = copy.map_size(program.tensor(copy.input))
    weights, pads = fitted(maker.weights[rows], maker.pads, maker.dilation, (source.height, source.width), size)
    return replace(
        maker, name=phase_name(maker.name, copy.lattice), output=copy.output, lattice=copy.lattice, weights=weights,
        pads=pads, multiplier=maker.multiplier[rows], shift=maker.shift[rows], offset=maker.offset[rows])
