"""A Program in the making: its tensors, what their codes mean, its ops, and codes that move to other places."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

import numpy as np
from numpy.typing import NDArray

from quant.lowering.meaning import Meaning
from quant.trace.naming import free_name
from sim.errors import InputError
from sim.ir.formats import Format
from sim.ir.ops import Conv, Op, Pads
from sim.ir.ops import Tensor as Map

__all__ = ["Draft", "Shape"]

Shape = tuple[int, int, int]

LONGEST_ROW = 1 << 12
"""Most codes that a convolution moves between a row and a map: it has this many squared weights."""


class Draft:
    """Tensors and ops so far.

    Parameters
    ----------
    names : iterable of str
        Names that tensors will have, which moved codes must not take.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.tensors: dict[str, Map] = {}
        self.meanings: dict[str, Meaning] = {}
        self.ops: list[Op] = []
        self._taken = set(names)
        self._moves: dict[tuple[str, str], Map] = {}

    def tensor(self, name: str, shape: Shape, fmt: Format, meaning: Meaning) -> Map:
        """Add a tensor."""
        channels, height, width = shape
        self.tensors[name] = Map(name, height, width, (channels,), fmt)
        self.meanings[name] = meaning
        return self.tensors[name]

    def copied(self, tensor: Map) -> Map:
        """Return a second tensor of the same codes: an op's input and residual must be two."""
        ones = np.ones((tensor.channels, 1, 1, 1), np.int8)
        return self._moved(tensor, "copy", tensor.shape, ones, Format(1, "unit"), (0, 0, 0, 0), groups=tensor.channels)

    def shaped(self, tensor: Map, shape: Shape) -> Map:
        """Return the same codes in another shape: what lies on the other side of a flatten is added in this one's.

        Weights are 1 for one code each: the kernel that makes a map a row is the map, that which makes a row a map
        reaches from the row's only place to each of the map's.
        """
        if tensor.shape == shape:
            return tensor
        count = prod(shape)
        if count > LONGEST_ROW:
            raise InputError(f"'{tensor.name}' of shape {tensor.shape} is added in shape {shape}; the chip moves at "
                             f"most {LONGEST_ROW} codes to other places, not {count}")
        if tensor.shape != (count, 1, 1):
            ones = np.eye(count, dtype=np.int8).reshape(count, *tensor.shape)
            tensor = self._moved(tensor, "row", (count, 1, 1), ones, Format(2, "signed"), (0, 0, 0, 0))
        if shape == (count, 1, 1):
            return tensor
        ones = np.eye(count, dtype=np.int8).reshape(*shape, count)[:, ::-1, ::-1].transpose(0, 3, 1, 2)
        around = shape[1] - 1, shape[2] - 1
        return self._moved(tensor, "map", shape, ones, Format(2, "signed"), (*around, *around))

    def _moved(self, tensor: Map, what: str, shape: Shape, weights: NDArray[np.int8], fmt: Format, pads: Pads, *,
               groups: int = 1) -> Map:
        """Return a tensor of the same codes, made once by a convolution that adds nothing to them but zero points."""
        key = tensor.name, f"{what} {shape}"
        if key not in self._moves:
            name = free_name(f"{tensor.name}.{what}", self._taken)
            self._taken.add(name)
            meaning = self.meanings[tensor.name].in_shape(tensor.shape, shape)
            self._moves[key] = self.tensor(name, shape, tensor.format, meaning)
            zeros = weights.sum(axis=(1, 2, 3), dtype=np.int64) * tensor.format.zero_point
            self.ops.append(Conv(name, tensor.name, name, weights, fmt, np.ones((shape[0], 1), np.int8),
                                 np.zeros(shape[0], np.int64), -zeros, tensor.format.low, tensor.format.high, groups,
                                 pads=pads))
        return self._moves[key]
