"""Which op makes a code, and at which place of its own map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from sim.ir.lattice import Lattice
from sim.ir.ops import Conv, Load, Op, Pool, Store
from sim.ir.program import Program

__all__ = ["Pixel", "Writer", "writer_of"]


@dataclass(frozen=True)
class Pixel:
    """A place in a map."""

    channel: int
    y: int
    x: int


@dataclass(frozen=True)
class Writer:
    """An op that makes a code.

    Attributes
    ----------
    number : int
        Of the op in its Program.
    op : Op
    own : Pixel
        The place in the op's own map.
    """

    number: int
    op: Op
    own: Pixel


def writer_of(program: Program, tensor: str, place: Pixel) -> Writer | None:
    """Return what makes the code of a tensor at a place, None if the host gives it.

    A Load or Store that only gives a tensor its second place makes nothing.
    """
    for number, op in enumerate(program.ops):
        if op.writes == tensor:
            own = _own_place(program, op, place)
            if own is not None:
                return Writer(number, op, own)
    return None


def _own_place(program: Program, op: Op, place: Pixel) -> Pixel | None:
    """Return the place in the map of an op that becomes this one of its output, None if there is none."""
    match op:
        case Conv():
            part = program.tensor(op.output).part_slice(op.output_part)
            lattice, size = op.lattice or Lattice(), op.map_size(program.tensor(op.input))
            rows, columns = lattice.piece(size)
            if part.start <= place.channel < part.stop and place.y in rows and place.x in columns:
                return Pixel(place.channel - part.start, rows.index(place.y), columns.index(place.x))
            return None
        case Pool():
            return place
        case Load():
            return place
        case Store():
            return _stored_place(program, op, place)
        case _:
            assert_never(op)


def _stored_place(program: Program, store: Store, place: Pixel) -> Pixel | None:
    target, height = program.tensor(store.output), program.tensor(store.input).height
    part = slice(0, target.channels) if store.output_part is None else target.part_slice(store.output_part)
    y = place.y - store.first_row
    return Pixel(place.channel - part.start, y, place.x) if (
        part.start <= place.channel < part.stop and 0 <= y < height) else None
