"""A Program in the making: its tensors, what their codes mean, its ops, and codes that move to other places."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from quant.lowering.meaning import Meaning
from quant.lowering.phases import fitted, lattices, phase_name
from quant.stages.operator import Operator, identity, moving
from quant.trace.naming import free_name
from sim.errors import InputError
from sim.ir.formats import Format
from sim.ir.ops import Conv, Lattice, Op
from sim.ir.ops import Tensor as Map
from sim.ir.tensor import Run

__all__ = ["Draft", "Shape", "Slice", "run_of"]

Shape = tuple[int, int, int]

LONGEST_ROW = 1 << 12
"""Most codes that a convolution moves between a row and a map: it has this many squared weights."""


@dataclass(frozen=True)
class Slice(Map):
    """Some parts of the tensor of this name, which an op reads as if it had no others.

    Attributes
    ----------
    run : (first, after the last)
    """

    run: Run = (0, 1)


def run_of(tensor: Map) -> Run | None:
    """Return which parts of a tensor an op reads, None for all."""
    return tensor.run if isinstance(tensor, Slice) else None


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

    def tensor(self, name: str, shape: Shape, fmt: Format, meaning: Meaning, parts: tuple[int, ...] = ()) -> Map:
        """Add a tensor, of one part unless told otherwise."""
        channels, height, width = shape
        self.tensors[name] = Map(name, height, width, parts or (channels,), fmt)
        self.meanings[name] = meaning
        return self.tensors[name]

    def meaning(self, tensor: Map) -> Meaning:
        """Return what the codes of a tensor mean, or of some parts of it."""
        whole, run = self.meanings[tensor.name], run_of(tensor)
        return whole if run is None else replace(whole, zeros=whole.zeros[self.tensors[tensor.name].run_slice(run)])

    def sliced(self, tensor: Map, channels: tuple[int, ...]) -> Slice | None:
        """Return what holds these channels of a tensor, if they are those of some of its parts, else None."""
        whole, before = self.tensors[tensor.name], self.tensors[tensor.name].run_slice(run_of(tensor)).start
        wanted = range(channels[0] + before, channels[0] + before + len(channels))
        starts = [whole.run_slice((part, part + 1)).start for part in range(len(whole.parts))] + [whole.channels]
        if channels != tuple(range(channels[0], channels[0] + len(channels))) or not {
                wanted.start, wanted.stop} <= {*starts}:
            return None
        run = starts.index(wanted.start), starts.index(wanted.stop)
        return Slice(whole.name, whole.height, whole.width, whole.parts[run[0] : run[1]], whole.format, run)

    def copied(self, tensor: Map) -> Map:
        """Return a second tensor of the same codes: an op's input and residual must be two."""
        return self._moved(tensor, "copy", tensor.shape, identity(tensor.channels, dense=len(tensor.parts) > 1))

    def joined(self, tensor: Map) -> Map:
        """Return the same codes as one part, as depthwise layers and residuals need them."""
        return self._moved(tensor, "joined", tensor.shape, identity(tensor.channels, dense=True))

    def shaped(self, tensor: Map, shape: Shape) -> Map:
        """Return the same codes in another shape: what lies on the other side of a flatten is added in this one's.

        Weights are 1 for one code each: the kernel that makes a map a row is the map, that which makes a row a map
        reaches from the row's only place to each of the map's.
        """
        if tensor.shape == shape:
            return tensor
        count = prod(shape)
        if count > LONGEST_ROW:
            raise InputError(f"'{tensor.name}' of shape {tensor.shape} is added in shape {shape}; the machine moves at "
                             f"most {LONGEST_ROW} codes to other places, not {count}")
        if tensor.shape != (count, 1, 1):
            ones = np.eye(count, dtype=np.int8).reshape(count, *tensor.shape)
            tensor = self._moved(tensor, "row", (count, 1, 1), moving(ones))
        if shape == (count, 1, 1):
            return tensor
        ones = np.eye(count, dtype=np.int8).reshape(*shape, count)[:, ::-1, ::-1].transpose(0, 3, 1, 2)
        around = shape[1] - 1, shape[2] - 1
        return self._moved(tensor, "map", shape, moving(ones, pads=(*around, *around)))

    def _moved(self, tensor: Map, what: str, shape: Shape, moves: Operator) -> Map:
        """Return a tensor of the same codes, which is made once."""
        key = tensor.name, f"{what} {shape} {run_of(tensor)}"
        if key not in self._moves:
            name = free_name(f"{tensor.name}.{what}", self._taken)
            self._taken.add(name)
            meaning = self.meaning(tensor).in_shape(tensor.shape, shape)
            self._moves[key] = self.tensor(name, shape, tensor.format, meaning)
            self.move(tensor, name, moves)
        return self._moves[key]

    def spread(self, tensor: Map, target: Map, factors: tuple[int, int], *, shuffles: bool) -> None:
        """Add copies of a tensor, or of some of its channels, each for the pixels of a phase of a larger one."""
        phases = factors[0] * factors[1]
        for phase, lattice in enumerate(lattices(factors)):
            if shuffles:
                ones = np.zeros((target.channels, tensor.channels, 1, 1), np.int8)
                ones[np.arange(target.channels), phases * np.arange(target.channels) + phase] = 1
            else:
                ones = identity(tensor.channels, dense=len(tensor.parts) > 1).codes
            ones, pads = fitted(ones, (0, 0, 0, 0), (1, 1), (tensor.height, tensor.width),
                                lattice.size_in(target.height, target.width))
            moves = moving(ones, groups=tensor.channels // ones.shape[1], pads=pads)
            self.move(tensor, target.name, moves, phase_name(target.name, lattice), lattice)

    def move(self, tensor: Map, target: str, moves: Operator, name: str = "", lattice: Lattice | None = None) -> None:
        """Add a convolution that brings codes of one tensor to another: it adds nothing to them but zero points."""
        count = len(moves.codes)
        zeros = moves.codes.sum(axis=(1, 2, 3), dtype=np.int64) * tensor.format.zero_point
        self.ops.append(Conv(name or target, tensor.name, target, moves.codes, moves.format,
                             np.ones((count, 1), np.int8), np.zeros(count, np.int64), -zeros, tensor.format.low,
                             tensor.format.high, moves.groups, moves.stride, pads=moves.pads, lattice=lattice,
                             input_parts=run_of(tensor)))
