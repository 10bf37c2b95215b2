"""Limits of the hardware that no machine parameter changes, and the check that a planned Program keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from sim.arch.machine import Machine
from sim.errors import InputError
from sim.ir.ops import Conv, Layer, Load, Op, Pool, Store
from sim.ir.program import Program
from sim.mapping.schedule import ConvSchedule, PoolSchedule
from sim.mapping.transfers import TransferSchedule

__all__ = [
    "BLOCK_BITS",
    "MAP_BITS",
    "MAX_OPS",
    "MAX_PARTS",
    "PIXEL_BITS",
    "STEP_BITS",
    "TAP_BITS",
    "TILE_BITS",
    "check_counts",
    "check_limits",
]

MAX_OPS = 256
"""Convs and Pools of a Program, its Loads, and its Stores: the depths of the descriptor memories."""
MAX_PARTS = 4
"""Parts of an input that bipolar weights may read: the reference row must know where each one ends."""
TILE_BITS = 12
"""Row tiles of an op, counted from 0."""
BLOCK_BITS = 12
"""Words that hold all channels of a pixel, counted from 0."""
TAP_BITS = 12
"""Taps of a window, counted from 0."""
PIXEL_BITS = 20
"""Pixels of a column in a row tile, counted from 0."""
STEP_BITS = 20
"""Cycles of a step, and of the requantizer for a pixel, counted from 0."""
MAP_BITS = 16
"""Coordinates in a padded map, signed; strides and dilations."""


def check_counts(ops: Sequence[Op]) -> None:
    """Refuse more ops than the descriptor memories hold; what is added to a Program later only makes them more.

    Raises
    ------
    InputError
        If there are no Convs and Pools, or too many ops of a queue.
    """
    counts = {"Convs and Pools": (Conv, Pool), "Loads": (Load,), "Stores": (Store,)}
    for what, kinds in counts.items():
        count, least = sum(isinstance(op, kinds) for op in ops), int(Conv in kinds)
        if not least <= count <= MAX_OPS:
            raise InputError(f"the hardware runs {least}..{MAX_OPS} {what}, not {count}")


def check_limits(program: Program, schedules: Sequence[ConvSchedule | PoolSchedule | TransferSchedule],
                 machine: Machine) -> None:
    """Refuse a Program that is beyond the hardware on any machine.

    Raises
    ------
    InputError
        If there are no Convs and Pools or too many ops, bipolar weights read too many parts, or a number does not
        fit its field; the message names the op, the limit and what came.
    """
    check_counts(program.ops)
    for op, schedule in zip(program.ops, schedules, strict=True):
        if isinstance(op, Layer) and not isinstance(schedule, TransferSchedule):
            for what, came, most in _sizes(program, op, schedule, machine):
                if came > most:
                    raise InputError(f"op '{op.name}': the hardware takes at most {most} {what}, not {came}")


def _sizes(program: Program, op: Layer, schedule: ConvSchedule | PoolSchedule,
           machine: Machine) -> Iterator[tuple[str, int, int]]:
    """(what, how many, at most) of everything that has a limit."""
    source = program.tensor(op.input)
    top, left, bottom, right = op.pads
    largest = (1 << (MAP_BITS - 1)) - 1
    yield "rows of a padded map", source.height + top + bottom, largest
    yield "pixels in a row of a padded map", source.width + left + right, largest
    yield "rows between two row groups, stride times columns", op.stride * machine.columns, largest
    yield "taps", op.kernel[0] * op.kernel[1], 1 << TAP_BITS
    yield "pixels per column", schedule.pixels, 1 << PIXEL_BITS
    yield "cycles per step", schedule.step_cycles, 1 << STEP_BITS
    match schedule:
        case ConvSchedule():
            yield "channel blocks", schedule.channel_blocks, 1 << BLOCK_BITS
            yield "row tiles", schedule.row_tiles, 1 << TILE_BITS
            yield "requantizer cycles per pixel", schedule.requant_cycles, 1 << STEP_BITS
        case PoolSchedule():
            yield "channel blocks", schedule.blocks, 1 << BLOCK_BITS
        case _:
            assert_never(schedule)
    if isinstance(op, Conv):
        yield "as dilation", op.dilation, largest
        if op.weight_format.kind == "bipolar":
            yield "parts of an input of bipolar weights", len(source.parts), MAX_PARTS
