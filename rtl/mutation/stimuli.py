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
from sim.testing import KINDS, RandomChoices, SteeredChoices, corner_inputs, random_program
from sim.timing import timeline

__all__ = ["trouble_plan", "write_scripts"]

MOST_CYCLES = 5000
"""Of a run: short Programs find as much."""
LAYERS, EXTENT, CHANNELS = 3, 9, 17
"""At most: three rows of every column, two blocks and a lane."""
HEAVY: Mapping[str, Sequence[object]] = {
    "fresh_input": [True], "extent": [7, 8, 9], "channels": [8, 16, 17], "concat": [False], "activation_bits": [7, 8],
    "weight_bits": [7, 8], "stride": [1], "detour": [False]}
"""Decisions for every other Program: all columns, lanes, rows and planes at work for long."""
IMAGES = 2
"""Runs of a Program one after another: the second one finds what the first one has left."""
GAPS = 300
"""Per mille of cycles in which the streams pause, in every seventh script."""


def write_scripts(machine: Machine, count: int, folder: Path) -> list[Path]:
    """Scripts of all troubles and of `count` random Programs that `machine` takes."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in trouble_scripts(*trouble_plan(machine)):
        paths.append(folder / f"{name}.txt")
        paths[-1].write_text(text)
    for seed, planned in _programs(machine, count):
        rng = np.random.default_rng(seed)
        inputs = corner_inputs(rng, planned.program, IMAGES)
        images = [{name: codes[i : i + 1] for name, codes in inputs.items()} for i in range(IMAGES)]
        paths.append(folder / f"program_{seed}.txt")
        paths[-1].write_text(program_script(planned, images, GAPS if seed % 7 == 3 else 0))
    return paths


def _programs(machine: Machine, count: int) -> Iterator[tuple[int, Plan]]:
    seed = 0
    while count:
        seed += 1
        rng = np.random.default_rng(seed)
        kind = KINDS[seed % len(KINDS)]
        hints: list[Mapping[str, Sequence[object]]] = [{"kind": [kind], **HEAVY}, {"kind": [kind]}]
        choices = SteeredChoices(RandomChoices(rng), hints if seed // len(KINDS) % 2 else [])
        try:
            program = random_program(choices, machine, layers=LAYERS, kinds=sorted({kind, "dense"}), extent=EXTENT,
                                     channels=CHANNELS)
            planned = plan(program, machine.model_copy(update={"memory": _memory(rng, seed)}))
        except InputError:
            continue
        if timeline(planned).total <= MOST_CYCLES and max(counter_values(planned).values()) < 1 << COUNTER_BITS:
            yield seed, planned
            count -= 1


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
