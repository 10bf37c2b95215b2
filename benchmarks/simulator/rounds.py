"""Let processes take turns, compute ratios of what they measure, and check what the simulator gives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from time import monotonic

import numpy as np

from benchmarks.simulator.programs import Case
from benchmarks.simulator.sides import Side
from sim.functional.reference import simulate
from sim.ir.serialize import save_program

__all__ = ["Expected", "prepare", "ratio_of", "take_turns"]

TURN_SECONDS = 0.08
LEAST_ROUNDS = 5


def prepare(case: Case, place: Path) -> tuple[Path, Path]:
    """Write the Program and the codes into files, as sides read them."""
    program, codes = place / "program.safetensors", place / "codes.npy"
    save_program(case.program, program)
    np.save(codes, case.codes)
    return program, codes


class Expected:
    """The codes that the slow simulator gives for the images of a case."""

    def __init__(self, case: Case) -> None:
        (source,) = case.program.inputs
        self._outputs = [tensor.name for tensor in case.program.outputs]
        self._codes = simulate(case.program, {source.name: case.codes})
        del self._codes[source.name]

    def agrees(self, ours: Side, place: Path) -> bool:
        """Tell whether outputs of all images, which repeat those of the case, and all tensors of one are equal."""
        ours.save(place)
        with np.load(place) as found:
            for name, right in self._codes.items():
                if not np.array_equal(found[f"all:{name}"], right[:1]):
                    return False
            return all(np.array_equal(found[name], np.resize(self._codes[name], found[name].shape))
                       for name in self._outputs)


def take_turns(sides: Mapping[str, Side], seconds: float) -> dict[str, list[float]]:
    """Return the median time of a call [s] of every side in each round; every other round goes backwards."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    started, rounds = monotonic(), 0
    while rounds < LEAST_ROUNDS or monotonic() - started < seconds:
        for name in list(sides)[:: -1 if rounds % 2 else 1]:
            times[name].append(median(sides[name].turn(TURN_SECONDS)))
        rounds += 1
    return times


def ratio_of(values: list[float]) -> tuple[float, tuple[float, float]]:
    """Return the median, and the 10th and 90th percentile."""
    low, high = np.percentile(values, [10, 90])
    return median(values), (float(low), float(high))
