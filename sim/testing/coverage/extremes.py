"""Draw small Programs that are large in one way, which plain random ones never reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sim.arch.limits import LIMITS
from sim.arch.machine import Machine
from sim.errors import InputError
from sim.ir.ops import Conv, Layer
from sim.mapping.conv_schedule import ConvSchedule
from sim.testing.coverage.op_view import op_views
from sim.testing.stimulus.cases import Case, draw_case
from sim.testing.stimulus.choices import RandomChoices, SteeredChoices
from sim.testing.stimulus.programs import KINDS, TRAITS
from sim.testing.stimulus.recorded_choices import RecordedChoices

__all__ = ["AIMS", "Drawn", "draw_pair", "draw_plain", "extents_of"]

Hints = Sequence[Mapping[str, Sequence[object]]]
Drawn = tuple[Case, list[int], dict[str, Any]]
"""A case, the decisions that it came from, and the options of `sim.testing.draw_case`."""

EXTENTS = ("rows of a map", "pixels in a row", "channels", "taps", "parts", "parts under bipolar weights", "row tiles",
           "channel blocks", "chunks", "wrapped sums")
PLAIN: dict[str, Any] = {"layers": 5, "extent": 8}
ALL: dict[str, Any] = {"extent": 6, "kinds": (*KINDS, "grouped"), "traits": (*TRAITS, "lattice")}
ATTEMPTS = 20
"""Draws for a case that reaches its aim; then one that fits will do, and then a plain one."""
PATIENCE = 1000
"""Draws for a plain case of few layers: of the smallest machines one in thirty fits."""
ONE: Mapping[str, Sequence[object]] = {"layers": [1], "large": [False], "residual": [False], "wide": [False]}


def _row_tiles(machine: Machine) -> tuple[Hints, dict[str, Any]]:
    """More than 64 row tiles."""
    channels = range(64 * machine.rows + 1, 66 * machine.rows + 1)
    return [{**ONE, "kind": ["dense"], "kernel": [1], "channels": [1, 2, 3], "extent": [1, 2], "concat": [False]},
            {"channels": channels, "concat": [False]}], {"layers": 1, "channels": channels[-1]}


def _channel_blocks(machine: Machine) -> tuple[Hints, dict[str, Any]]:
    """More than 32 blocks of channels."""
    channels = range(32 * machine.lanes + 1, 33 * machine.lanes + 1)
    return [{**ONE, "kind": ["dense"], "kernel": [1], "channels": channels, "extent": [1, 2], "concat": [False],
             "weight_bits": [1, 2], "activation_bits": [1, 2]},
            {"channels": [1, 2, 3], "concat": [False]}], {"layers": 1, "channels": channels[-1]}


def _bipolar_parts(machine: Machine) -> tuple[Hints, dict[str, Any]]:
    """Ask for as many parts as bipolar weights may read."""
    return [{**ONE, "kind": ["dense", "linear"], "bipolar": [machine.bipolar], "concat": [True],
             "parts": [LIMITS.max_parts - 1], "activation_bits": [1, 2, 3]}], {
                 "layers": 1, "extent": 4, "channels": machine.lanes + 1}


def _long_rows(machine: Machine) -> tuple[Hints, dict[str, Any]]:
    """Ask for rows or columns of more than 256 pixels."""
    return [{**ONE, "kind": ["dense", "max", "depthwise"], "kernel": [1, 2, 3], "channels": [1, 2],
             "extent": [1, 257, 300], "concat": [False], "activation_bits": [1, 2], "stride": [1, 2]},
            {"channels": [1, 2], "concat": [False], "activation_bits": [1, 2]}], {
                "layers": 1, "extent": 300, "channels": 2}


def _taps(machine: Machine) -> tuple[Hints, dict[str, Any]]:
    """More than 128 taps, usually a window that is larger than its map."""
    return [{**ONE, "kind": ["dense", "depthwise", "max"], "kernel": [1, 12, 130, 255], "channels": [1, 2],
             "extent": [1, 3, 13], "concat": [False], "weight_bits": [1, 2], "dilation": [1]},
            {"channels": [1, 2], "concat": [False]}], {"layers": 1, "extent": 13, "channels": 2, "kernel": 255}


def _windows(machine: Machine) -> tuple[Hints, dict[str, Any]]:
    """Windows of 5 to 11, steps that are larger than windows."""
    return [{**ONE, "kind": ["dense", "depthwise", "average", "max"], "kernel": [1, 5, 7, 11], "stride": [2, 4],
             "extent": [7, 12, 16], "channels": [1, 2, 3]}], {"layers": 2, "extent": 16, "channels": 3, "kernel": 11}


def _wraps(machine: Machine) -> tuple[Hints, dict[str, Any]]:
    """Ask for sums that leave the accumulator, where so many products are cheap."""
    products = min(4 << max(0, machine.acc_bits - machine.max_bits_w - machine.max_bits_a), 200)
    return [{**ONE, "wrap": [True], "kind": ["dense", "depthwise", "linear", "average"], "bipolar": [False],
             "weight_bits": [machine.max_bits_w], "activation_bits": [machine.max_bits_a], "extent": [2, 3, 4],
             "kernel": [3, 4], "channels": range(products // 2, products + 1)}], {
                 "layers": 1, "extent": 4, "channels": products, "kernel": 4}


AIMS: tuple[tuple[Callable[[Machine], tuple[Hints, dict[str, Any]]], tuple[str, ...], int], ...] = (
    (_row_tiles, ("row tiles",), 65), (_wraps, ("wrapped sums",), 1), (_taps, ("taps",), 129),
    (_bipolar_parts, ("parts under bipolar weights",), LIMITS.max_parts),
    (_long_rows, ("rows of a map", "pixels in a row"), 257), (_channel_blocks, ("channel blocks",), 33),
    (_windows, ("taps",), 25))
"""Hints and options for a machine, and which extents should become how large."""


def draw_pair(rng: np.random.Generator, machine: Machine, number: int, most_cycles: int) -> Drawn:
    """Case `number` of a machine: every other one is plain, those between take the aims in turn.

    Parameters
    ----------
    rng : numpy.random.Generator
    machine : Machine
        The memory that its streams reach is drawn anew.
    number : int
        From 0 on.
    most_cycles : int
        Of a run; what takes longer is drawn again.

    Raises
    ------
    InputError
        If nothing fits this machine.
    """
    steer, extents, least = AIMS[number // 2 % len(AIMS)]
    fitting = None
    for hints, options in [steer(machine)] * ATTEMPTS * (number % 2):
        drawn = _fitting(rng, machine, hints, options, most_cycles)
        if drawn is not None and max(extents_of(drawn[0])[extent] for extent in extents) >= least:
            return drawn
        fitting = fitting or drawn
    return fitting or _plain(rng, machine, PLAIN, most_cycles, ATTEMPTS)


def draw_plain(rng: np.random.Generator, machine: Machine, layers: int, most_cycles: int) -> Drawn:
    """Draw a case of at most so many layers of all kinds.

    Parameters
    ----------
    rng : numpy.random.Generator
    machine : Machine
        The memory that its streams reach is drawn anew.
    layers : int
        At least 1.
    most_cycles : int
        Of a run; what takes longer is drawn again.

    Raises
    ------
    InputError
        If nothing fits this machine.
    """
    return _plain(rng, machine, ALL | {"layers": layers}, most_cycles, PATIENCE)


def _plain(rng: np.random.Generator, machine: Machine, options: dict[str, Any], most_cycles: int,
           attempts: int) -> Drawn:
    """Draw a case without hints, so many times until one fits."""
    options = options | {"channels": min(2 * machine.lanes + 1, 40)}
    for _ in range(attempts):
        fitting = _fitting(rng, machine, [], options, most_cycles)
        if fitting is not None:
            return fitting
    raise InputError(f"no Program of {most_cycles} cycles fits the machine")


def _fitting(rng: np.random.Generator, machine: Machine, hints: Hints, options: dict[str, Any],
             most_cycles: int) -> Drawn | None:
    """Draw a case, unless it does not fit or takes too long."""
    choices = RecordedChoices(SteeredChoices(RandomChoices(rng), hints, obedience=1))
    try:
        case = draw_case(choices, machine, **options)
    except InputError:
        return None
    return (case, choices.decisions, options) if case.plan.timeline.total <= most_cycles else None


def extents_of(case: Case) -> dict[str, int]:
    """Measure how large the ops of a case are, each by its largest, and count the sums that have wrapped."""
    found = dict.fromkeys(EXTENTS, 0)
    for view in op_views(case.plan, case.codes):
        op, schedule = view.op, view.schedule
        if not isinstance(op, Layer):
            continue
        bipolar = isinstance(op, Conv) and op.weight_format.kind == "bipolar"
        here = [view.source.height, view.source.width, view.read.channels, op.kernel[0] * op.kernel[1],
                len(view.read.parts), len(view.read.parts) if bipolar else 0]
        if isinstance(schedule, ConvSchedule):
            here += [schedule.row_tiles, schedule.channel_blocks, len(schedule.chunks)]
        found |= {name: max(found[name], size) for name, size in zip(EXTENTS, here, strict=False)}
        if view.conv and view.values.exact:
            found["wrapped sums"] += int((view.values.sums != view.values.wrapped).sum())
    return found | {"ops": len(case.plan.program.ops)}
