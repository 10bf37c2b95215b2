"""Where two engines part: the first layer, channel, pixel and bit plane, with both values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.program import Conv, Program, Store, writes

__all__ = ["Comparison", "Divergence", "compare_codes"]

Codes = Mapping[str, NDArray[np.int32]]


@dataclass(frozen=True)
class Divergence:
    """The first code on which two engines differ, in execution order."""

    engines: tuple[str, str]
    tensor: str
    record: str
    image: int
    channel: int
    y: int
    x: int
    plane: int
    values: tuple[int, int]

    def __str__(self) -> str:
        first, second = self.engines
        return (f"{first} and {second} part at record '{self.record}', tensor '{self.tensor}', image {self.image}, "
                f"channel {self.channel}, pixel ({self.y}, {self.x}), plane {self.plane}: "
                f"{self.values[0]} against {self.values[1]}")


@dataclass(frozen=True)
class Comparison:
    """Codes of two engines held against each other.

    Attributes
    ----------
    engines : (str, str)
    tensors : int
        Tensors compared.
    codes : int
        Codes compared.
    mismatches : int
        Codes that differ.
    first : Divergence or None
    """

    engines: tuple[str, str]
    tensors: int
    codes: int
    mismatches: int
    first: Divergence | None


def compare_codes(program: Program, engines: tuple[str, str], left: Codes, right: Codes) -> Comparison:
    """Compare every tensor of two engines; each maps tensor names to codes of shape (N, C, H, W).

    Examples
    --------
    >>> from sim.formats import Format
    >>> from sim.program import Tensor
    >>> program = Program((Tensor("x", 1, 2, (1,), Format(4, "unsigned")),), ())
    >>> codes = {"x": np.array([[[[5, 6]]]], np.int32)}
    >>> print(compare_codes(program, ("a", "b"), codes, {"x": codes["x"] ^ [[[[0, 2]]]]}).first)
    a and b part at record 'input', tensor 'x', image 0, channel 0, pixel (0, 1), plane 1: 6 against 4
    """
    written = (writes(record) for record in program.records)
    order = [t.name for t in program.inputs] + list(dict.fromkeys(name for name in written if name is not None))
    mismatches = codes = 0
    first = None
    for name in order:
        a, b = left[name], right[name]
        if a.shape != b.shape:
            raise ValueError(f"tensor '{name}': {engines[0]} has shape {a.shape}, {engines[1]} {b.shape}")
        different = a != b
        codes += a.size
        count = int(np.count_nonzero(different))
        mismatches += count
        if count and first is None:
            image, channel, y, x = (int(i) for i in np.argwhere(different)[0])
            values = int(a[image, channel, y, x]), int(b[image, channel, y, x])
            changed = values[0] ^ values[1]
            plane = (changed & -changed).bit_length() - 1
            first = Divergence(engines, name, _writer(program, name, channel), image, channel, y, x, plane, values)
    return Comparison(engines, len(order), codes, mismatches, first)


def _writer(program: Program, name: str, channel: int) -> str:
    """The record that writes a channel of a tensor first, or `input`."""
    for record in program.records:
        part = record.output_part if isinstance(record, Conv | Store) else None
        channels = program.tensor(name).part_slice(part) if part is not None and record.output == name else None
        if writes(record) == name and (channels is None or channels.start <= channel < channels.stop):
            return record.name
    return "input"
