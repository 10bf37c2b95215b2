"""Draw lattices: interleaved maps, and maps below or beside each other, that fill a tensor together."""

from __future__ import annotations

from itertools import product

from sim.ir.ops import Lattice
from sim.testing.stimulus.program_builder import ProgramBuilder

__all__ = ["draw_lattices", "filled_size"]

MAX_SPACING = 4
MOST_PIECES = 8
WHOLE: tuple[Lattice | None, ...] = (None,)


def draw_lattices(builder: ProgramBuilder, size: tuple[int, int]) -> tuple[Lattice | None, ...]:
    """Draw how maps of (rows, columns) fill an output part; (None,) where one map is all of it.

    Maps are interleaved, and the interleaved ones stacked along one axis.
    """
    choices = builder.choices
    if not builder.has("lattice", 0.15):
        return WHOLE
    rows = choices.integer("row_spacing", 1, MAX_SPACING)
    columns = choices.integer("column_spacing", 1, max(1, MOST_PIECES // (2 * rows) + (rows > 2)))
    stacked = choices.integer("stacked", 1, max(1, MOST_PIECES // (rows * columns)))
    below = choices.chance("below", 0.5)
    height, width = rows * size[0], columns * size[1]
    return tuple(Lattice((y + below * copy * height, x + (not below) * copy * width), (rows, columns))
                 for copy, y, x in product(range(stacked), range(rows), range(columns)))


def filled_size(lattices: tuple[Lattice | None, ...], size: tuple[int, int]) -> tuple[int, int]:
    """Return the rows and columns of the tensor that maps of that size fill."""
    pieces = [(lattice or Lattice()).piece(size) for lattice in lattices]
    return max(rows[-1] for rows, _ in pieces) + 1, max(columns[-1] for _, columns in pieces) + 1
