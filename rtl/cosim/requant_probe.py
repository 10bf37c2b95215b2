"""What the requantizers of the RTL take and give while one op runs: accumulators, residuals, codes.

They are looked at inside the hardware, which only Icarus Verilog shows. The order in which a requantizer works is that
of the machine, so that each number has its place in the op's map whenever it comes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.ir.ops import Conv
from sim.mapping.conv_schedule import ConvSchedule
from sim.plan.plan import Plan

__all__ = ["NUMBERS", "UNKNOWN", "Captured", "in_place", "places"]

NUMBERS = ("accumulator", "residual", "moved", "code")
UNKNOWN = int(np.iinfo(np.int64).min)
"""Stands for a number that has undefined bits, or never came."""


@dataclass(frozen=True, eq=False)
class Captured:
    """Numbers at the requantizers, int64 arrays of shape (N, O, own rows, own columns); `UNKNOWN` where there is none.

    Attributes
    ----------
    accumulator, residual : int64 arrays
        What is taken: with bipolar weights 2 * acc - reference.
    moved : int64 array
        The rounded sum at the output's zero point, before it is clamped.
    code : int64 array
        What is given, before a table.
    """

    accumulator: NDArray[np.int64]
    residual: NDArray[np.int64]
    moved: NDArray[np.int64]
    code: NDArray[np.int64]


def places(plan: Plan, number: int, unit: int, column: int) -> Iterator[tuple[int, int, int]]:
    """Yield (channel, row, column) in the own map of a Conv, in the order in which a requantizer works on them."""
    conv, schedule, machine = plan.program.ops[number], plan.schedules[number], plan.machine
    assert isinstance(conv, Conv)
    assert isinstance(schedule, ConvSchedule)
    shape, per_unit = schedule.shape, machine.rows // machine.requantizers
    per_tile = schedule.tile_channel_groups * machine.rows
    for tile in range(schedule.row_tiles):
        for pixel in range(schedule.pixels):
            group, x = divmod(pixel, shape.out_width)
            y = group * machine.columns + column
            for first in range(tile * per_tile, (tile + 1) * per_tile, machine.rows):
                for channel in range(first + unit * per_unit, first + (unit + 1) * per_unit):
                    if channel < conv.channels and y < shape.out_height:
                        yield channel, y, x


def in_place(plan: Plan, number: int, found: Mapping[str, NDArray[np.int64]]) -> Captured:
    """Put what was seen into maps.

    Parameters
    ----------
    plan : Plan
    number : int
        Of the Conv.
    found : mapping of "unit column image" to int64 array, shape (codes, 4)
        What every requantizer took and gave, in order; `NUMBERS`.
    """
    schedule, images = plan.schedules[number], 1 + max(int(key.split()[2]) for key in found)
    assert isinstance(schedule, ConvSchedule)
    shape = schedule.shape
    maps = np.full((len(NUMBERS), images, shape.out_channels, shape.out_height, shape.out_width), UNKNOWN, np.int64)
    for key, rows in found.items():
        unit, column, image = map(int, key.split())
        for place, row in zip(places(plan, number, unit, column), rows, strict=False):
            maps[(slice(None), image, *place)] = row
    return Captured(*maps)
