"""Random Programs on a machine's RTL: chosen for the situations they add, compared, shrunk when they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bitwright.codesign.progress import Progress
from bitwright.codesign.random_cases import compared, keep, simplest
from bitwright.farm.job import Job, job
from bitwright.farm.run import run
from bitwright.farm.store import Store
from bitwright.farm.workers import Here, Workers
from rtl.cosim.simulators import Engine, engine_named
from sim.arch.machine import Machine
from sim.errors import EngineError
from sim.testing.coverage.bins import GROUPS
from sim.testing.coverage.coverage import Coverage
from sim.testing.coverage.directed import directed_cases, directed_options
from sim.testing.stimulus.cases import Case, redraw

__all__ = ["RandomVerification", "differences_of", "verify_random"]

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
                  progress: Progress, workers: Workers | None = None) -> RandomVerification:
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
    workers : Workers, optional
        What runs the RTL; this process if None. The result does not depend on it.

    Raises
    ------
    EngineError
        If a batch could not be run.
    """
    coverage, equal = Coverage(GROUPS), list[Case]()
    with Store() as store:
        for outcome in run(_batches(machine, count, seed, engine), store, Here() if workers is None else workers):
            if outcome.failure:
                raise EngineError(outcome.failure)
            for decisions, found in zip(outcome.job.parameters["batch"], outcome.value, strict=True):
                if found:
                    least = simplest(decisions, machine, engine, progress.message, **directed_options(machine))
                    return _summary(equal, coverage, least.found, keep(least.case, least.found, failures_dir))
                case = _drawn(decisions, machine)
                coverage.add(coverage.bins_of(case.plan, case.codes))
                equal.append(case)
            progress.done(f"{len(equal)} Programs are equal, {coverage.percent:.1f} % of the bins met")
    return _summary(equal, coverage, (), None)


def _batches(machine: Machine, count: int, seed: int, engine: Engine) -> Iterator[Job]:
    """Draw Programs, each for what those before it have not met, and yield jobs of several."""
    rng, aimed, left = np.random.default_rng(seed), Coverage(GROUPS), count
    while left:
        batch = []
        for case, decisions in directed_cases(rng, machine, aimed, min(BATCH, left)):
            aimed.add(aimed.bins_of(case.plan, case.codes))
            batch.append(decisions)
        if not batch:
            return
        left -= len(batch)
        yield job(differences_of, machine=machine.model_dump(mode="json"), engine=engine.name, batch=batch)


def differences_of(machine: dict[str, Any], engine: str, batch: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
    """Return what differs between RTL and simulator in each of the cases that follow from decisions."""
    target = Machine.model_validate(machine)
    return compared([_drawn(decisions, target) for decisions in batch], engine_named(engine))


def _drawn(decisions: Sequence[int], machine: Machine) -> Case:
    drawn = redraw(decisions, machine, **directed_options(machine))
    assert drawn is not None, "what was drawn can be drawn again"
    return drawn[0]


def _summary(equal: Sequence[Case], coverage: Coverage, failure: tuple[str, ...],
             kept: Path | None) -> RandomVerification:
    return RandomVerification(len(equal), sum(len(case.plan.program.ops) for case in equal),
                              sum(case.plan.timeline.total for case in equal), failure, kept, coverage)
