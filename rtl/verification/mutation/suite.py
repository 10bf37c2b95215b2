"""What the mutants meet: scripts of random and directed Programs, and of faults at the buses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtl.cosim.scoreboard import expected_registers
from rtl.encoding.geometry import Geometry
from rtl.verification.mutation.directed_programs import directed_cases
from rtl.verification.mutation.fault_scenarios import fault_scripts
from rtl.verification.mutation.pin_script import program_script
from sim.arch.host_memory import IDEAL, Memory
from sim.arch.limits import HardwareLimits
from sim.arch.machine import Machine
from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Pool, Tensor
from sim.ir.program import Program
from sim.plan.legality import check_limits
from sim.plan.plan import Plan, plan
from sim.testing import RandomChoices, SteeredChoices, corner_inputs, random_program
from sim.testing.stimulus.programs import KINDS as ANY_KIND
from sim.testing.stimulus.programs import TRAITS

__all__ = ["fault_plan", "write_scripts"]

MOST_CYCLES = 5000
"""Of a random Program's run: short ones find as much."""
LAYERS, EXTENT, CHANNELS = 3, 9, 17
"""At most: three rows of every column, two blocks and a lane."""
Hints = Mapping[str, Sequence[object]]
PLACED: Hints = {"fresh_input": [True], "spill": [False], "large": [False], "random_weights": [True],
                 "random_requantizer": [True]}
"""Decisions that leave no layer without a task."""
BUSY: Hints = {**PLACED, "layers": [1], "extent": [5, 6, 7, 8, 9], "concat": [False], "activation_bits": [8],
               "stride": [1], "kernel": [2, 3], "relu": [False], "clamp": [False]}
"""Decisions for a layer that has all columns and planes at work."""
HEAVY: tuple[Hints, ...] = (
    {"kind": ["max"], "channels": [8], "activation_kind": ["unsigned"]},
    {"kind": ["max"], "channels": [8], "activation_kind": ["signed"]},
    {"kind": ["max"], "channels": [17], "stride": [2, 3], "activation_bits": [4]},
    {"kind": ["dense"], "channels": [8, 17], "bipolar": [True]},
    {"kind": ["dense"], "channels": [3, 8], "bipolar": [True], "activation_kind": ["signed"], "residual": [True]},
    {"kind": ["dense"], "channels": [6, 8], "bipolar": [False], "unsigned": [False], "weight_bits": [8]},
    {"kind": ["dense"], "channels": [9, 16], "bipolar": [False], "unsigned": [True], "weight_bits": [6, 7]},
    {"kind": ["dense"], "channels": [8], "kernel": [1], "residual": [True], "digits": [3], "residual_digits": [3]},
    {"kind": ["dense"], "channels": [8], "kernel": [1], "wide": [True], "digits": [3], "weight_bits": [8]},
    {"kind": ["depthwise"], "channels": [8, 17], "weight_bits": [8], "activation_bits": [5]},
    {"kind": ["dense"], "channels": [2], "stride": [2, 3], "weight_bits": [8], "activation_bits": [6]},
    {"kind": ["add"], "channels": [16, 17], "residual_bits": [8], "activation_bits": [6]},
    {"kind": ["average"], "channels": [17], "activation_bits": [7]},
    {"kind": ["linear"], "channels": [17], "weight_bits": [5]},
)
"""What it may be."""
HEAVY_ROUNDS = 3
ONE_BIT: Hints = {"activation_bits": [1], "weight_bits": [1], "kernel": [1], "channels": [8]}
QUICK: tuple[Hints, ...] = (
    {"kind": ["dense"], **ONE_BIT, "bipolar": [False], "wide": [True], "digits": [3]},
    {"kind": ["dense"], **ONE_BIT, "bipolar": [True], "wide": [True], "digits": [3]},
    {"kind": ["dense"], **ONE_BIT, "residual": [True], "residual_bits": [8], "digits": [1], "residual_digits": [1]},
    {"kind": ["dense"], "bipolar": [True], "concat": [True], "channels": [1, 9], "extent": [5, 6]},
    {"kind": ["dense"], "dilation": [2, 3], "padding": [True], "kernel": [3], "channels": [3], "activation_bits": [2]},
    {"kind": ["depthwise"], "channels": [1, 2, 3], "stride": [2, 3], "kernel": [3], "padding": [True]},
    {"kind": ["dense"], "extent": [9, 20], "channels": [1], "activation_bits": [1], "weight_bits": [1]},
    {"kind": ["dense"], "channels": [8], "kernel": [1], "wide": [True], "clamp": [True], "window": [10], "digits": [3]},
    {"kind": ["dense"], "large": [True], "channels": [8], "extent": [7, 8, 9], "residual": [True], "weight_bits": [2]},
    {"kind": ["add"], "large": [True], "channels": [8, 16], "extent": [7, 8, 9], "residual_bits": [8]},
)
"""Layers that wait for the requantizer or the residual, and rarer shapes."""
FULL: Hints = {**PLACED, "extent": [5, 6, 7, 8, 9]}
PARTS: tuple[Hints, ...] = ({"bipolar": [True], "parts": [2]}, {}, {"residual": [True]})
TABLES: tuple[Hints, ...] = (
    {"kind": ["dense"], "index_bits": [8], "relu": [False], "clamp": [False]},
    {"kind": ["add"], "index_bits": [7, 8], "activation_kind": ["signed"]}, {"kind": ["depthwise"], "index_bits": [8]},
    {"kind": ["dense"], "index_bits": [1, 2, 3, 4, 5, 6]},
)
OPERANDS: tuple[Hints, ...] = ({"broadcast": [False], "residual_bits": [6, 7, 8]}, {"broadcast_as": ["map"]},
                               {"broadcast_as": ["channel"]})
SPACED: tuple[Hints, ...] = tuple(
    {"kind": [kind], "row_spacing": [rows], "column_spacing": [columns]} for kind, rows, columns in (
        ("dense", 1, 2), ("add", 2, 1), ("dense", 2, 2), ("gate", 3, 1), ("depthwise", 3, 2), ("dense", 4, 1),
        ("average", 1, 3)))
UNEQUAL: tuple[Hints, ...] = tuple(
    {"stride": [down], "horizontal_stride": [along], "dilation": [below], "horizontal_dilation": [beside]}
    for down, along, below, beside in ((1, 2, 1, 1), (2, 1, 1, 1), (3, 1, 2, 1), (1, 3, 1, 2), (2, 3, 3, 1),
                                       (1, 1, 2, 1), (1, 1, 1, 3)))
KINDS = ("dense", "dense", "dense", "linear", "depthwise", "add", "average", "max")


@dataclass(frozen=True)
class Aim:
    """Programs that hints lead to.

    Attributes
    ----------
    seed, count : int
        Of the first one; of seeds, each of which gives a Program if it fits.
    hints : sequence of Hints
        Seeds take them in turn.
    layers, extent : int
        At most.
    """

    seed: int
    count: int
    hints: Sequence[Hints]
    layers: int = 1
    extent: int = EXTENT


AIMS = (
    Aim(1000, 30, [{**BUSY, **hints} for hints in QUICK], extent=20),
    Aim(2000, 120, [{**FULL, "concat": [False], "kind": [kind]} for kind in KINDS]),
    Aim(3000, 20, [{**FULL, "kind": ["dense"], "concat": [False], "channels": [1, 2, 3, 4], "kernel": [2, 3],
                    "weight_bits": [2, 3, 4], "activation_bits": [8]}]),
    Aim(4000, 30, [{**FULL, "kind": ["dense"], "concat": [True], **more} for more in PARTS], extent=6),
    Aim(5000, 20, [{**FULL, "kind": ["dense", "linear"], "concat": [False], "wide": [True],
                    "wide_bits": [20, 21, 22, 23], "digits": [2, 3], "clamp": [True], "channels": [1, 2, 3, 4, 8]}],
        extent=5),
    Aim(6000, 30, [{"layers": [4, 5, 6]}], layers=6, extent=5),
    Aim(7000, 30, [{**FULL, "kind": [kind], "concat": [False], "extent": [1, 2, 3, 16, 20, 25, 29],
                    "channels": [1, 2, 3], "activation_bits": [1, 2, 3]} for kind in KINDS], extent=29),
    Aim(8000, 60, [{}], layers=LAYERS),
    Aim(9000, 40, [{**FULL, "table": [True], "table_kind": ["random"], "concat": [False], "wide": [False],
                    "layers": [1], "extent": [3, 4, 5], "channels": [8], **more} for more in TABLES], extent=5),
    Aim(9500, 20, [{"table": [True], "layers": [5], "channels": [1, 2, 3, 4], "concat": [False]}], layers=5, extent=4),
    Aim(9700, 40, [{**FULL, "kind": ["gate"], "concat": [False], **more} for more in OPERANDS]),
    Aim(9800, 56, [{**FULL, "lattice": [True], "concat": [False], "extent": [2, 3, 4, 5], **more} for more in SPACED]),
    Aim(9900, 28, [{**FULL, "kind": ["dense", "max"], "concat": [False], "unequal": [True], "kernel": [2, 3],
                    "whole_map": [False], "extent": [6, 7, 8, 9], "channels": [1, 3, 8], **more} for more in UNEQUAL]),
    Aim(9950, 24, [{**FULL, "kind": ["grouped"], "concat": [False], "channels": [9, 10, 12, 14, 15, 16],
                    "extent": [1, 2, 3, 4], "wider": [wider]} for wider in (False, True)]),
)
"""What the first Programs miss: every kind, packed taps, parts, wide outputs, many layers, tall and wide maps,
tables, gates, lattices, unequal steps, windows of groups."""
IMAGES = 2
"""Runs of a Program one after another: the second one finds what the first one has left."""
GAPS = 300
"""Per mille of cycles in which the streams pause, in every seventh script."""


def write_scripts(geometry: Geometry, count: int, folder: Path) -> tuple[list[Path], list[Path]]:
    """Write scripts of `count` random Programs that fit the hardware, of aimed and directed ones, and of all faults."""
    folder.mkdir(parents=True, exist_ok=True)
    programs, faults = [], []

    def add(name: str, planned: Plan, codes: Mapping[str, NDArray[np.int32]], gaps: int) -> None:
        images = [{name: array[i : i + 1] for name, array in codes.items()} for i in range(IMAGES)]
        programs.append(folder / f"{name}.txt")
        programs[-1].write_text(program_script(planned, images, gaps, geometry.limits))

    for seed, planned in _programs(geometry, count):
        codes = corner_inputs(np.random.default_rng(seed), planned.program, IMAGES)
        add(f"program_{seed}", planned, codes, GAPS if seed % 7 == 3 else 0)
    for name, program, memory, codes in directed_cases(geometry.machine):
        add(name, plan(program, geometry.machine.model_copy(update={"memory": memory})), codes, 0)
    for name, text in fault_scripts(*fault_plan(geometry.machine), geometry.limits):
        faults.append(folder / f"{name}.txt")
        faults[-1].write_text(text)
    return programs, faults


def _programs(geometry: Geometry, count: int) -> Iterator[tuple[int, Plan]]:
    """First those that every entry of HEAVY leads to, then any, `count` together; then those of AIMS."""
    heavy = Aim(1, HEAVY_ROUNDS * len(HEAVY) - 1, [{**BUSY, **hints} for hints in HEAVY])
    free = Aim(1 + heavy.count, 1000 * count, [{}], LAYERS)
    yield from islice(chain(_drawn(geometry, heavy), _drawn(geometry, free)), count)
    for aim in AIMS:
        yield from _drawn(geometry, aim)


def _drawn(geometry: Geometry, aim: Aim) -> Iterator[tuple[int, Plan]]:
    """Seeds and what they lead to, without those that do not fit or take long."""
    machine = geometry.machine
    for seed in range(aim.seed, aim.seed + aim.count):
        rng = np.random.default_rng(seed)
        choices = SteeredChoices(RandomChoices(rng), [aim.hints[seed % len(aim.hints)]], obedience=1)
        try:
            program = random_program(choices, machine, layers=aim.layers, extent=aim.extent, channels=CHANNELS,
                                     kinds=(*ANY_KIND, "grouped"), traits=(*TRAITS, "lattice"))
            planned = plan(program, machine.model_copy(update={"memory": _memory(rng, seed)}))
            check_limits(planned.program, planned.schedules, machine, geometry.limits)
        except InputError:
            continue
        if _is_short(planned, geometry.limits):
            yield seed, planned


def _is_short(planned: Plan, limits: HardwareLimits) -> bool:
    largest = max(expected_registers(planned).values())
    return planned.timeline.total <= MOST_CYCLES and largest < 1 << limits.counter_bits


def _memory(rng: np.random.Generator, seed: int) -> Memory:
    """Ideal in every other script."""
    period = int(rng.integers(1, 5))
    return IDEAL if seed % 2 else Memory(latency_cycles=int(rng.integers(0, 20)), period_cycles=period,
                                         beats=int(rng.integers(1, period + 1)))


def fault_plan(machine: Machine) -> tuple[Plan, dict[str, NDArray[np.int32]]]:
    """Return a small Program that reads all of every tensor, a convolution, an addition and a pool, and its inputs."""
    rng, narrow, wide = np.random.default_rng(0), Format(2, "unsigned"), Format(4, "signed")
    tensors = (Tensor("a", 4, 2, (5,), narrow), Tensor("b", 4, 2, (11,), wide),
               Tensor("c", 4, 2, (11,), wide), Tensor("d", 2, 1, (11,), wide), Tensor("e", 4, 2, (11,), wide))
    empty = np.zeros(11, np.int64)
    conv = Conv("conv", "a", "b", rng.integers(-4, 4, (11, 5, 3, 3)).astype(np.int8), Format(3, "signed"),
                np.ones((11, 1), np.int8), empty + 3, empty, -8, 7, pads=(1, 1, 1, 1))
    add = Conv("add", "b", "c", np.ones((11, 1, 1, 1), np.int8), Format(1, "unit"), np.ones((11, 1), np.int8),
               empty + 1, empty, -8, 7, groups=11, residual="e", residual_multiplier=np.ones((11, 1), np.int8))
    pool = Pool("pool", "c", "d", (2, 2), (2, 2))
    program = Program(tensors, (conv, add, pool), Arithmetic(acc_bits=24, window=10, terms=3))
    return plan(program, machine), corner_inputs(rng, program, 1)
