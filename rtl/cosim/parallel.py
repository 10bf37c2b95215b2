"""Images on the RTL, split over processes of the simulator."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl.cosim.run import RtlResult, build_machine, run
from rtl.cosim.simulators import ICARUS, Engine
from sim.plan.plan import Plan

__all__ = ["run_parallel"]


def run_parallel(plan: Plan, inputs: Mapping[str, NDArray[np.integer]], workers: int, *, engine: Engine = ICARUS,
                 place: Path | None = None, **options: Any) -> RtlResult:
    """`rtl.cosim.run.run` with the images split over `workers` processes.

    Codes, cycles and counters are those of one process: every image starts from an idle machine.

    Parameters
    ----------
    plan, inputs, engine, place, options
        As for `rtl.cosim.run.run`.
    workers : int
        At least 1.

    Raises
    ------
    InputError, SimulationError
        As `rtl.cosim.run.run`.
    ValueError
        If there is no worker.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    images = max((len(codes) for codes in inputs.values()), default=0)
    count = max(1, min(workers, images))
    place = place or build_machine(plan.machine, engine)
    shares = [{name: np.array_split(codes, count)[i] for name, codes in inputs.items()} for i in range(count)]
    with ThreadPoolExecutor(count) as pool:
        results = list(pool.map(partial(run, plan, engine=engine, place=place, **options), shares))
    return RtlResult(
        {name: np.concatenate([result.codes[name] for result in results]) for name in results[0].codes},
        np.concatenate([result.ends for result in results]),
        tuple(counters for result in results for counters in result.counters))
