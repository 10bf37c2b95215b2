"""Whether the hardware can run a planned Program at all, on whatever machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from sim.arch.limits import LIMITS, HardwareLimits
from sim.arch.machine import Machine
from sim.errors import InputError
from sim.ir.ops import Conv, Layer, Load, Op, Pool, Store
from sim.ir.program import Program
from sim.mapping.schedule import ConvSchedule, PoolSchedule
from sim.mapping.transfers import TransferSchedule

__all__ = ["check_counts", "check_limits"]


def check_counts(ops: Sequence[Op], limits: HardwareLimits = LIMITS) -> None:
    """Refuse more ops than the descriptor memories hold; what is added to a Program later only makes them more.

    Raises
    ------
    InputError
        If there are no Convs and Pools, or too many ops of a queue.
    """
    counts = {"Convs and Pools": (Conv, Pool), "Loads": (Load,), "Stores": (Store,)}
    for what, kinds in counts.items():
        count, least = sum(isinstance(op, kinds) for op in ops), int(Conv in kinds)
        if not least <= count <= limits.max_ops:
            raise InputError(f"the hardware runs {least}..{limits.max_ops} {what}, not {count}")


def check_limits(program: Program, schedules: Sequence[ConvSchedule | PoolSchedule | TransferSchedule],
                 machine: Machine, limits: HardwareLimits = LIMITS) -> None:
    """Refuse a Program that is beyond the hardware on any machine.

    Raises
    ------
    InputError
        If there are no Convs and Pools or too many ops, bipolar weights read too many parts, or a number does not
        fit its field; the message names the op, the limit and what came.
    """
    check_counts(program.ops, limits)
    for op, schedule in zip(program.ops, schedules, strict=True):
        if isinstance(op, Layer) and not isinstance(schedule, TransferSchedule):
            for what, came, most in _sizes(program, op, schedule, machine, limits):
                if came > most:
                    raise InputError(f"op '{op.name}': the hardware takes at most {most} {what}, not {came}")


def _sizes(program: Program, op: Layer, schedule: ConvSchedule | PoolSchedule,
           machine: Machine, limits: HardwareLimits) -> Iterator[tuple[str, int, int]]:
    """(what, how many, at most) of everything that has a limit."""
    source = program.tensor(op.input)
    top, left, bottom, right = op.pads
    largest = (1 << (limits.map_bits - 1)) - 1
    yield "rows of a padded map", source.height + top + bottom, largest
    yield "pixels in a row of a padded map", source.width + left + right, largest
    yield "rows between two row groups, stride times columns", op.stride * machine.columns, largest
    yield "taps", op.kernel[0] * op.kernel[1], 1 << limits.tap_bits
    yield "pixels per column", schedule.pixels, 1 << limits.pixel_bits
    yield "cycles per step", schedule.step_cycles, 1 << limits.step_bits
    match schedule:
        case ConvSchedule():
            yield "channel blocks", schedule.channel_blocks, 1 << limits.block_bits
            yield "row tiles", schedule.row_tiles, 1 << limits.tile_bits
            yield "requantizer cycles per pixel", schedule.requant_cycles, 1 << limits.step_bits
        case PoolSchedule():
            yield "channel blocks", schedule.blocks, 1 << limits.block_bits
        case _:
            assert_never(schedule)
    if isinstance(op, Conv):
        yield "as dilation", op.dilation, largest
        if op.weight_format.kind == "bipolar":
            yield "parts of an input of bipolar weights", len(source.parts), limits.max_parts
