"""What the mutants meet: scripts of random Programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtl.mutation.narrow import COUNTER_BITS
from rtl.mutation.scripts import counter_values, program_script
from rtl.mutation.troubles import trouble_scripts
from sim.errors import InputError
from sim.formats import Format
from sim.machine import Machine
from sim.memory import IDEAL, Memory
from sim.plan import Plan, plan
from sim.program import Conv, Pool, Program, Tensor
from sim.testing import RandomChoices, SteeredChoices, corner_inputs, random_program
from sim.timing import timeline

__all__ = ["trouble_plan", "write_scripts"]

MOST_CYCLES = 5000
"""Of a run: short Programs find as much."""
LAYERS, EXTENT, CHANNELS = 3, 9, 17
"""At most: three rows of every column, two blocks and a lane."""
BUSY: Mapping[str, Sequence[object]] = {
    "layers": [1], "fresh_input": [True], "extent": [5, 6, 7, 8, 9], "concat": [False], "detour": [False],
    "activation_bits": [8], "stride": [1], "random_weights": [True], "random_requantizer": [True], "kernel": [2, 3],
    "large": [False], "relu": [False], "clamp": [False]}
"""Decisions for a layer that has all columns and planes at work."""
HEAVY: tuple[Mapping[str, Sequence[object]], ...] = (
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
ONE_BIT: Mapping[str, Sequence[object]] = {"activation_bits": [1], "weight_bits": [1], "kernel": [1], "channels": [8]}
QUICK: tuple[Mapping[str, Sequence[object]], ...] = (
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
QUICK_SEED, QUICK_ROUNDS, QUICK_EXTENT = 1000, 3, 20
IMAGES = 2
"""Runs of a Program one after another: the second one finds what the first one has left."""
GAPS = 300
"""Per mille of cycles in which the streams pause, in every seventh script."""


def write_scripts(machine: Machine, count: int, folder: Path) -> tuple[list[Path], list[Path]]:
    """Scripts of `count` random Programs that `machine` takes, and of all troubles."""
    folder.mkdir(parents=True, exist_ok=True)
    programs, troubles = [], []
    for seed, planned in _programs(machine, count):
        inputs = corner_inputs(np.random.default_rng(seed), planned.program, IMAGES)
        images = [{name: codes[i : i + 1] for name, codes in inputs.items()} for i in range(IMAGES)]
        programs.append(folder / f"program_{seed}.txt")
        programs[-1].write_text(program_script(planned, images, GAPS if seed % 7 == 3 else 0))
    for name, text in trouble_scripts(*trouble_plan(machine)):
        troubles.append(folder / f"{name}.txt")
        troubles[-1].write_text(text)
    return programs, troubles


def _programs(machine: Machine, count: int) -> Iterator[tuple[int, Plan]]:
    """First those that every entry of HEAVY leads to, then any, `count` together; then those of QUICK."""
    seed = 0
    while count:
        seed += 1
        rng = np.random.default_rng(seed)
        heavy = seed < HEAVY_ROUNDS * len(HEAVY)
        hints = [{**BUSY, **HEAVY[seed % len(HEAVY)]}] if heavy else []
        choices = SteeredChoices(RandomChoices(rng), hints, obedience=1)
        try:
            program = random_program(choices, machine, layers=1 if heavy else LAYERS, extent=EXTENT, channels=CHANNELS)
            planned = plan(program, machine.model_copy(update={"memory": _memory(rng, seed)}))
        except InputError:
            continue
        if _is_short(planned):
            yield seed, planned
            count -= 1
    for seed in range(QUICK_SEED, QUICK_SEED + QUICK_ROUNDS * len(QUICK)):
        rng = np.random.default_rng(seed)
        choices = SteeredChoices(RandomChoices(rng), [{**BUSY, **QUICK[seed % len(QUICK)]}], obedience=1)
        try:
            program = random_program(choices, machine, layers=1, extent=QUICK_EXTENT, channels=CHANNELS)
            planned = plan(program, machine.model_copy(update={"memory": _memory(rng, seed)}))
        except InputError:
            continue
        if _is_short(planned):
            yield seed, planned


def _is_short(planned: Plan) -> bool:
    return timeline(planned).total <= MOST_CYCLES and max(counter_values(planned).values()) < 1 << COUNTER_BITS


def _memory(rng: np.random.Generator, seed: int) -> Memory:
    """Ideal in every other script."""
    period = int(rng.integers(1, 5))
    return IDEAL if seed % 2 else Memory(latency_cycles=int(rng.integers(0, 20)), period_cycles=period,
                                         beats=int(rng.integers(1, period + 1)))


def trouble_plan(machine: Machine) -> tuple[Plan, dict[str, NDArray[np.int32]]]:
    """A small Program that reads all of every tensor: a convolution, an addition, a pool; and its inputs."""
    rng, narrow, wide = np.random.default_rng(0), Format(2, "unsigned"), Format(4, "signed")
    tensors = (Tensor("a", 4, 2, (5,), narrow), Tensor("b", 4, 2, (6,), wide), Tensor("c", 4, 2, (6,), wide),
               Tensor("d", 2, 1, (6,), wide), Tensor("e", 4, 2, (6,), wide))
    empty = np.zeros(6, np.int64)
    conv = Conv("conv", "a", "b", rng.integers(-4, 4, (6, 5, 3, 3)).astype(np.int8), Format(3, "signed"),
                np.ones((6, 1), np.int8), empty + 3, empty, -8, 7, pads=(1, 1, 1, 1))
    add = Conv("add", "b", "c", np.ones((6, 1, 1, 1), np.int8), Format(1, "unit"), np.ones((6, 1), np.int8), empty + 1,
               empty, -8, 7, depthwise=True, residual="e", residual_multiplier=np.ones((6, 1), np.int8))
    pool = Pool("pool", "c", "d", (2, 2), 2)
    program = Program(tensors, (conv, add, pool), acc_bits=24, window=10, terms=3)
    return plan(program, machine), corner_inputs(rng, program, 1)
