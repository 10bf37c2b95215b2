"""`Lattice`: the evenly spaced pixels of a tensor that a Conv writes, and what several of them leave free."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, prod

from sim.io.bounds import MAX_EXTENT, check_range, require
from sim.ir.tensor import Tensor

__all__ = ["MAX_PIECES", "Lattice", "Piece", "Pieces", "first_common"]

MAX_PIECES = 256
"""Lattices of a part of a tensor: as many as the hardware runs Convs."""

Piece = tuple[range, range]
"""Rows and columns of the pixels that an op writes."""


@dataclass(frozen=True)
class Lattice:
    """Pixel (y, x) of a Conv's own map is pixel (offset[0] + stride[0] * y, offset[1] + stride[1] * x) of its output.

    Parameters
    ----------
    offset : (row, column)
    stride : (rows, columns)

    Examples
    --------
    A map of 2 x 3 pixels on every second row, from row 1 on:

    >>> Lattice(offset=(1, 0), stride=(2, 1)).piece((2, 3))
    (range(1, 5, 2), range(0, 3))
    """

    offset: tuple[int, int] = (0, 0)
    stride: tuple[int, int] = (1, 1)

    def piece(self, size: tuple[int, int]) -> Piece:
        """Return the rows and columns of a map of that many rows and columns."""
        rows, columns = (range(offset, offset + stride * count, stride)
                         for offset, stride, count in zip(self.offset, self.stride, size, strict=True))
        return rows, columns

    def size_in(self, height: int, width: int) -> tuple[int, int]:
        """Return the rows and columns of the largest map whose pixels all lie in a tensor of that size.

        >>> Lattice(offset=(1, 0), stride=(2, 2)).size_in(4, 5)
        (2, 3)
        """
        rows, columns = (len(range(offset, extent, stride))
                         for offset, stride, extent in zip(self.offset, self.stride, (height, width), strict=True))
        return rows, columns

    def check(self, size: tuple[int, int], target: Tensor, where: str) -> None:
        """Refuse offsets and strides out of range, and a map of (rows, columns) that would leave `target`."""
        for what, offset, stride, count, extent in zip(("row", "column"), self.offset, self.stride, size,
                                                       (target.height, target.width), strict=True):
            check_range(stride, 1, MAX_EXTENT, f"{where}: a stride of its lattice")
            check_range(offset, 0, extent - 1, f"{where}: first {what} of its lattice")
            last = offset + stride * (count - 1)
            require(last < extent, where, f"last {what} of its lattice must be in 0..{extent - 1}, not {last}")


class Pieces:
    """What Convs have written of one part of a tensor: lattices that share no pixel.

    Its memory and the work of a lattice grow with their number, which is at most MAX_PIECES, not with that of pixels.

    Parameters
    ----------
    height, width : int
        Of the tensor.

    Examples
    --------
    >>> pieces = Pieces(height=2, width=2)
    >>> pieces.add((range(0, 2), range(0, 1))), pieces.add((range(1, 2), range(0, 2))), pieces.pixels
    (None, (1, 0), 2)
    >>> pieces.add((range(0, 2), range(1, 2))), pieces.complete
    (None, True)
    """

    def __init__(self, height: int, width: int) -> None:
        self.area, self.pixels = height * width, 0
        self._pieces: list[Piece] = []

    @property
    def complete(self) -> bool:
        """Whether every pixel is written."""
        return self.pixels == self.area

    def __len__(self) -> int:
        """Count the lattices."""
        return len(self._pieces)

    def add(self, piece: Piece) -> tuple[int, int] | None:
        """Add pixels inside the tensor, unless one is there already: the first row and column of those that are."""
        for other in self._pieces:
            common = _first_common_pixel(piece, other)
            if common is not None:
                return common
        self._pieces.append(piece)
        self.pixels += prod(map(len, piece))
        return None


def _first_common_pixel(piece: Piece, other: Piece) -> tuple[int, int] | None:
    row = first_common(piece[0], other[0])
    column = None if row is None else first_common(piece[1], other[1])
    return None if row is None or column is None else (row, column)


def first_common(one: range, other: range) -> int | None:
    """Return the first number that is in two rising, non-empty ranges, None if there is none.

    >>> first_common(range(1, 20, 6), range(0, 20, 4)), first_common(range(0, 20, 6), range(1, 20, 4))
    (None, None)
    >>> first_common(range(1, 20, 6), range(3, 20, 5))
    13
    """
    divisor = gcd(one.step, other.step)
    apart = other.start - one.start
    if apart % divisor:
        return None
    period = other.step // divisor
    steps = apart // divisor * pow(one.step // divisor, -1, period) % period
    first = one.start + one.step * steps
    whole = one.step * period
    start = max(one.start, other.start)
    first += -(-max(0, start - first) // whole) * whole
    return first if first <= min(one[-1], other[-1]) else None
