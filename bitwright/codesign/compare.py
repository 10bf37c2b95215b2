"""Codes of two engines, and the first layer, channel, pixel and bit plane in which they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl.cosim.run import UNDEFINED
from sim.ir.ops import Conv, Store
from sim.ir.program import Program

__all__ = ["Comparison", "Divergence", "TensorComparison", "compare_codes"]

Codes = Mapping[str, NDArray[np.int32]]


@dataclass(frozen=True)
class Divergence:
    """The first code on which two engines differ, in execution order.

    Attributes
    ----------
    engines : (str, str)
    tensor, op : str
        The op is the one that writes this code, or `input`.
    image, channel, y, x : int
    plane : int or None
        The lowest bit that differs; None if a value has undefined bits.
    values : (int or None, int or None)
        None for a code with undefined bits.
    """

    engines: tuple[str, str]
    tensor: str
    op: str
    image: int
    channel: int
    y: int
    x: int
    plane: int | None
    values: tuple[int | None, int | None]

    def __str__(self) -> str:
        first, second = self.engines
        plane = "" if self.plane is None else f", plane {self.plane}"
        values = " against ".join("undefined bits" if value is None else str(value) for value in self.values)
        return (f"{first} and {second} part at op '{self.op}', tensor '{self.tensor}', image {self.image}, "
                f"channel {self.channel}, pixel ({self.y}, {self.x}){plane}: {values}")


@dataclass(frozen=True)
class TensorComparison:
    """Codes of one tensor in two engines.

    Attributes
    ----------
    name : str
    codes : int
        Codes compared.
    mismatches : int
        Codes that differ.
    undefined : int
        Of these, codes with undefined bits.
    """

    name: str
    codes: int
    mismatches: int
    undefined: int


@dataclass(frozen=True)
class Comparison:
    """The comparison of the codes of two engines.

    Attributes
    ----------
    engines : (str, str)
    tensors : int
        Tensors compared.
    codes : int
        Codes compared.
    mismatches : int
        Codes that differ, those with undefined bits among them.
    by_tensor : tuple of TensorComparison
        In execution order.
    first : Divergence or None
    """

    engines: tuple[str, str]
    tensors: int
    codes: int
    mismatches: int
    by_tensor: tuple[TensorComparison, ...]
    first: Divergence | None


def compare_codes(program: Program, engines: tuple[str, str], left: Codes, right: Codes) -> Comparison:
    """Compare every tensor that two engines have; each maps tensor names to codes of shape (N, C, H, W).

    A code with undefined bits (`rtl.cosim.run.UNDEFINED`) equals none.

    Examples
    --------
    >>> from sim.ir.formats import Format
    >>> from sim.ir.ops import Tensor
    >>> program = Program((Tensor("x", 1, 2, (1,), Format(4, "unsigned")),), ())
    >>> codes = {"x": np.array([[[[5, 6]]]], np.int32)}
    >>> print(compare_codes(program, ("a", "b"), codes, {"x": codes["x"] ^ [[[[0, 2]]]]}).first)
    a and b part at op 'input', tensor 'x', image 0, channel 0, pixel (0, 1), plane 1: 6 against 4
    """
    written = (op.writes for op in program.ops)
    order = [t.name for t in program.inputs] + list(dict.fromkeys(name for name in written if name is not None))
    found, first = [], None
    for name in (name for name in order if name in left and name in right):
        a, b = left[name], right[name]
        if a.shape != b.shape:
            raise ValueError(f"tensor '{name}': {engines[0]} has shape {a.shape}, {engines[1]} {b.shape}")
        different = (a != b) | (a == UNDEFINED)
        undefined = (a == UNDEFINED) | (b == UNDEFINED)
        found.append(TensorComparison(name, a.size, int(np.count_nonzero(different)), int(np.count_nonzero(undefined))))
        if first is None and different.any():
            first = _divergence(program, engines, name, tuple(int(i) for i in np.argwhere(different)[0]), a, b)
    return Comparison(engines, len(found), sum(one.codes for one in found), sum(one.mismatches for one in found),
                      tuple(found), first)


def _divergence(program: Program, engines: tuple[str, str], name: str, place: tuple[int, ...],
                left: NDArray[np.int32], right: NDArray[np.int32]) -> Divergence:
    """Describe the difference at (image, channel, y, x)."""
    image, channel, y, x = place
    a, b = int(left[place]), int(right[place])
    plane = None if UNDEFINED in (a, b) else ((a ^ b) & -(a ^ b)).bit_length() - 1
    values = tuple(None if value == UNDEFINED else value for value in (a, b))
    return Divergence(engines, name, _writer(program, name, channel), image, channel, y, x, plane,
                      (values[0], values[1]))


def _writer(program: Program, name: str, channel: int) -> str:
    """Return the name of the op that writes a channel of a tensor first, or `input`."""
    for op in program.ops:
        part = op.output_part if isinstance(op, Conv | Store) else None
        channels = program.tensor(name).part_slice(part) if part is not None and op.output == name else None
        if op.writes == name and (channels is None or channels.start <= channel < channels.stop):
            return op.name
    return "input"
