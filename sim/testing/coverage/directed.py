"""Draw Programs that meet bins which others have missed, with hints, and choose those that add most per cycle."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sim.arch.machine import Machine
from sim.errors import InputError
from sim.ir.formats import MAX_PLANES
from sim.testing.coverage.coverage import Coverage
from sim.testing.coverage.tally import Bin
from sim.testing.stimulus.cases import Case, draw_case
from sim.testing.stimulus.choices import OF_PROGRAMS, RandomChoices, SteeredChoices
from sim.testing.stimulus.programs import KINDS, TRAITS
from sim.testing.stimulus.recorded_choices import RecordedChoices

__all__ = ["directed_cases", "directed_options"]

Decisions = Mapping[str, Sequence[object]]

CANDIDATES = 12
"""Programs drawn for each that is chosen."""
LAYERS = 6
"""Of a Program, at most: what fills memories or takes long fits only alone."""
CHANNELS = 24
"""Most channels of a part, unless three times the machine's lanes are fewer."""
EXTENT = 8
"""Largest height and width of its input."""
MOST_CYCLES = 3000
"""Of a Program."""
START_CYCLES = 1500
"""What starting a simulator costs, in cycles simulated meanwhile."""

WITH_RESIDUAL: Decisions = {"residual": [True]}
SLICED: Decisions = {"concat": [True], "slice": [True]}
FRESH: Decisions = {"fresh_input": [True], "extent": [6, 7, 8]}
BANDED: Decisions = {"large": [True], **FRESH, "activation_bits": [6, 7, 8], "channels": [1, 2, 3, 4], "stride": [1],
                     "weight_bits": [1, 2]}
HINTS: Mapping[str, Mapping[Hashable, Decisions]] = {
    "kind": {
        "dense": {"kind": ["dense", "linear"]}, "depthwise": {"kind": ["depthwise"]}, "add": {"kind": ["add"]},
        "gate": {"kind": ["gate"]},
        "average": {"kind": ["average"], "kernel": [2, 3]}, "max": {"kind": ["max"]},
        "copy": {"kind": ["average"], "kernel": [1], "whole_map": [False], "residual": [False]}},
    "lane_weight_bits": {bits: {"kind": ["depthwise"], "weight_bits": [bits]} for bits in range(1, MAX_PLANES + 1)},
    "weights": {"signed": {"bipolar": [False], "unsigned": [False]}, "bipolar": {"bipolar": [True]},
                "unsigned": {"bipolar": [False], "unsigned": [True]}, "unit": {"kind": ["average", "add"]}},
    "bipolar_activation_bits": {
        bits: {"kind": ["dense"], "bipolar": [True], "activation_bits": [bits]} for bits in range(1, MAX_PLANES + 1)},
    "shape": {"1 x 1": {"kernel": [1]}, "k x k": {"kernel": [2, 3]},
              "whole map": {"whole_map": [True], "kernel": [2, 3], "extent": [2, 3]}},
    "dilation": {n: {"dilation": [n], "kernel": [2, 3], "whole_map": [False]} for n in (1, 2, 3)},
    "blocks of a window": {"one": {"kind": ["grouped"], "channels": [9, 10, 12, 14, 15, 16], "concat": [False]},
                           "several": {"kind": ["grouped"], "channels": [18, 20, 21, 24], "concat": [False]}},
    "late": {False: {"wider": [True], "times": [3]}},
    "parts of the input": {
        "the first": {**SLICED, "first_part": [0]},
        "inner": {**SLICED, "parts": [2, 3], "first_part": [1], "last_part": [1]},
        "the last": {**SLICED, "first_part": [1, 2, 3]}},
    "longer step": {f"{axis} {what}": {
        "unequal": [True], what: first, f"horizontal_{what}": second, "kernel": [2, 3], "whole_map": [False],
        **FRESH}
        for axis, first, second in (("vertical", [2, 3], [1]), ("horizontal", [1], [2, 3]))
        for what in ("stride", "dilation")},
    "padding": {False: {"padding": [False], **FRESH}, True: {"padding": [True]}},
    "side": {side: {"padding": [True]} for side in ("top", "left", "bottom", "right")},
    "taps": {1: {}, 2: {"channels": [1, 2, 3, 4], "concat": [False], "weight_bits": [4, 6, 8]},
             4: {"channels": [1, 2], "concat": [False], "weight_bits": [7, 8]},
             8: {"channels": [1], "concat": [False], "weight_bits": [8], "kernel": [3]}},
    "phases": {phases: {"stride": [phases]} for phases in range(1, 5)},
    "packed taps": {edge: {"channels": [1, 2], "concat": [False], "kernel": [2, 3]}
                    for edge in ("one full", "one short", "many full", "many short")},
    "residual_digits": {0: {"residual": [False]},
                        **{n: {**WITH_RESIDUAL, "residual_digits": [n]} for n in range(1, 5)}},
    "index_bits": {bits: {"table": [True], "index_bits": [bits]} for bits in range(1, MAX_PLANES + 1)},
    "codes of the table": {kind: {"table": [True], "activation_kind": [kind]} for kind in ("unsigned", "signed")},
    "after a residual": {has: {"table": [True], "residual": [has]} for has in (False, True)},
    "table": {"part of a word": {"table": [True], "index_bits": [1]},
              "a word": {"table": [True]}, "several words": {"table": [True], "index_bits": [8]}},
    "table waits for": {"nothing": {"table": [True]},
                        "a layer that has its slot": {"table": [True], "channels": [1, 2], "concat": [False]}},
    "origin": {"the host": {**WITH_RESIDUAL, "fresh_residual": [True]},
               "computed": {**WITH_RESIDUAL, "fresh_residual": [False]},
               "a later part": {**WITH_RESIDUAL, "fresh_residual": [True], "concat": [True]}},
    "broadcast": {as_: {**WITH_RESIDUAL, "broadcast": [True], "broadcast_as": [as_]} for as_ in ("map", "channel")},
    "row tiles with it": {"one": {"channels": [1, 2]}, "many": {"channels": [5, 9, 17]}},
    "row groups with it": {"one": {"extent": [1, 2]}, "many": {**FRESH, "stride": [1], "whole_map": [False]}},
    "columns in a bank": {columns: {"lattice": [True], "row_spacing": [columns]} for columns in range(1, 5)},
    "pixels apart": {False: {"lattice": [True], "column_spacing": [1]},
                     True: {"lattice": [True], "column_spacing": [2]}},
    "with row groups": {"many": {**FRESH, "stride": [1], "whole_map": [False]}},
    "maps": {"interleaved": {"lattice": [True], "stacked": [1]}, "stacked": {"lattice": [True], "stacked": [2]}},
    "gate codes": {"unsigned": {"kind": ["gate"]}, "signed": {"kind": ["gate"]}},
    "gate bits": {bits: {"kind": ["gate"], "residual_bits": [bits], "fresh_residual": [True]}
                  for bits in range(1, MAX_PLANES + 1)},
    "gate with digits of": {which: {"kind": ["gate"], "beside_gate": [which]}
                            for which in ("nothing", "M", "R", "M and R")},
    "raised": {False: {"gate": [0]}, True: {}},
    "read": {1: {"concat": [False]}, **{n: {"concat": [True], "parts": [n - 1]} for n in (2, 3, 4)}},
    "bipolar_parts": {1: {"bipolar": [True]},
                      **{n: {"bipolar": [True], "concat": [True], "parts": [n - 1]} for n in (2, 3, 4)}},
    "wraps at the": {end: {"wrap": [True], "weight_bits": [6, 7, 8], "activation_bits": [7, 8]}
                     for end in ("top", "bottom")},
    "busy with": {"residual planes": {**WITH_RESIDUAL, "residual_bits": [7, 8], "digits": [1], "residual_digits": [1]}},
    "by": {"its first residual": {**WITH_RESIDUAL, "residual_bits": [8], "activation_bits": [1], "weight_bits": [1]}},
    "lanes": {"one full": {"channels": [4, 8]}, "many full": {"channels": [8, 16]},
              "many short": {"channels": [9, 17]}},
    "pixels": {"many short": {**FRESH, "stride": [1], "weight_bits": [1, 2]}},
    "rows": {"many short": FRESH},
    "band": {"first": BANDED, "last": BANDED,
             "inner": {**BANDED, "extent": [8], "activation_bits": [7, 8], "channels": [8, 9, 12, 16, 17],
                       "lattice": [False], "table": [False]}},
    "band with residual": {has: {"large": [True], **FRESH, "activation_bits": [7, 8], "residual": [has]}
                           for has in (False, True)},
    "band with broadcast": {as_: {"large": [True], **FRESH, "activation_bits": [7, 8], **WITH_RESIDUAL,
                                  "broadcast": [True], "broadcast_as": [as_], "kind": ["dense", "add", "gate"]}
                            for as_ in ("map", "channel")},
    "written by": {"Stores": {"spill": [True]}},
    "loaded": {rows: {"spill": [True]} for rows in ("the first", "later ones")},
    "of parts": {part: {"spill": [True], "way": ["by parts", "rows of parts"]}
                 for part in ("the first", "a later one")},
    "in several regions": {True: {**FRESH, "activation_bits": [6, 7, 8]}},
}
"""Decisions that lead to a value of an axis; an axis that is not here is taken for the name of a decision."""


def directed_cases(rng: np.random.Generator, machine: Machine, coverage: Coverage,
                   count: int) -> Iterator[tuple[Case, list[int]]]:
    """Yield at most `count` cases that add to `coverage`, with their decisions; the caller counts their bins.

    Parameters
    ----------
    rng : numpy.random.Generator
    machine : Machine
        The memory that its streams reach is drawn anew for each case.
    coverage : Coverage
        What is already met.
    count : int
    """
    for _ in range(count):
        aims = coverage.missing
        best, most = None, 0.0
        for _ in range(CANDIDATES):
            candidate = _candidate(rng, machine, coverage, aims)
            if candidate is None:
                continue
            cycles = candidate[0].plan.timeline.total
            if cycles > MOST_CYCLES:
                continue
            met = coverage.bins_of(candidate[0].plan, candidate[0].codes).keys()
            gained = len(met & set(aims)) / (cycles + START_CYCLES)
            if gained > most:
                best, most = candidate, gained
        if best is not None:
            yield best


def directed_options(machine: Machine) -> dict[str, Any]:
    """Options of `sim.testing.random_program` for directed cases."""
    return {"layers": LAYERS, "extent": EXTENT, "channels": min(3 * machine.lanes, CHANNELS),
            "kinds": (*KINDS, "grouped"), "traits": (*TRAITS, "lattice")}


def _candidate(rng: np.random.Generator, machine: Machine, coverage: Coverage,
               aims: Sequence[Bin]) -> tuple[Case, list[int]] | None:
    """Draw a case steered to some of the bins, a bin for each layer; return None if it does not fit."""
    hints = [_hints_to(coverage, aims[index]) for index in rng.integers(0, len(aims), LAYERS)] if aims else []
    of_program: dict[str, Sequence[object]] = {"layers": [int(rng.integers(1, LAYERS + 1))]}
    for hint in hints:
        of_program |= {name: wanted for name, wanted in hint.items() if name in OF_PROGRAMS}
    choices = RecordedChoices(SteeredChoices(RandomChoices(rng), [{**hint, **of_program} for hint in hints]))
    try:
        return draw_case(choices, machine, **directed_options(machine)), choices.decisions
    except InputError:
        return None


def _hints_to(coverage: Coverage, aim: Bin) -> dict[str, Sequence[object]]:
    """Decisions that lead to a bin."""
    found: dict[str, Sequence[object]] = {}
    name, values = aim
    for axis, value in zip(coverage.group(name).axes, values, strict=True):
        found |= HINTS[axis].get(value, {}) if axis in HINTS else {axis: [value]}
    return found
