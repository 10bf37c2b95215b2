"""Random Programs on a machine's RTL: chosen for the situations they add, compared, shrunk when they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bitwright.codesign.progress import Progress
from bitwright.codesign.random_cases import compared, keep_simplest
from rtl.cosim.simulators import Engine
from sim.arch.machine import Machine
from sim.testing.coverage.bins import GROUPS
from sim.testing.coverage.coverage import Coverage
from sim.testing.coverage.directed import directed_cases, directed_options
from sim.testing.stimulus.cases import Case

__all__ = ["RandomVerification", "verify_random"]

BATCH = 8
"""Programs that run in one simulation."""


@dataclass(frozen=True)
class RandomVerification:
    """The outcome of running random Programs.

    Attributes
    ----------
    programs, ops, cycles : int
        How many were run and equal, and their simulated cycles.
    failure : tuple of str
        What differs in the first case that failed, after it was simplified; empty if none failed.
    kept : Path or None
        Folder of that case.
    coverage : Coverage
        Of the Programs that were equal.
    """

    programs: int
    ops: int
    cycles: int
    failure: tuple[str, ...]
    kept: Path | None
    coverage: Coverage


def verify_random(machine: Machine, count: int, seed: int, engine: Engine, failures_dir: Path,
                  progress: Progress) -> RandomVerification:
    """Run random Programs on the RTL of `machine` until one differs.

    Parameters
    ----------
    machine : Machine
    count : int
        Number of Programs; fewer run when nothing can be added to the coverage.
    seed : int
    engine : Engine
        The RTL simulator.
    failures_dir : Path
        Where a failing case is kept, as simple as it can be made.
    progress : Progress
        Gets a step for every batch.
    """
    rng, coverage, equal = np.random.default_rng(seed), Coverage(GROUPS), list[Case]()
    aimed = Coverage(GROUPS)
    while len(equal) < count:
        drawn = []
        for case, decisions in directed_cases(rng, machine, aimed, min(BATCH, count - len(equal))):
            aimed.add(aimed.bins_of(case.plan, case.codes))
            drawn.append((case, decisions))
        if not drawn:
            break
        for (case, decisions), found in zip(drawn, compared([case for case, _ in drawn], engine), strict=True):
            if found:
                return _summary(equal, coverage, *keep_simplest(decisions, machine, engine, failures_dir,
                                                                progress.message, **directed_options(machine)))
            coverage.add(coverage.bins_of(case.plan, case.codes))
            equal.append(case)
        progress.done(f"{len(equal)} Programs are equal, {coverage.percent:.1f} % of the bins met")
    return _summary(equal, coverage, (), None)


def _summary(equal: Sequence[Case], coverage: Coverage, failure: tuple[str, ...],
             kept: Path | None) -> RandomVerification:
    return RandomVerification(len(equal), sum(len(case.plan.program.ops) for case in equal),
                              sum(case.plan.timeline.total for case in equal), failure, kept, coverage)
