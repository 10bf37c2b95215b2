"""Random Programs on a machine's RTL: chosen for the situations they add, compared, shrunk when they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bitwright.console import Steps
from rtl.agreement import differences
from rtl.engines import Engine, SimulationError
from rtl.simulator import run_all
from sim.machine import Machine
from sim.testing.bins import GROUPS
from sim.testing.cases import Case, save_case, shrink_case
from sim.testing.coverage import Coverage
from sim.testing.directed import directed_cases, directed_options
from sim.timing import timeline

__all__ = ["RandomVerification", "verify_random"]

BATCH = 8
"""Programs of one simulation."""
ATTEMPTS = 100
"""Runs that shrinking may take."""


@dataclass(frozen=True)
class RandomVerification:
    """What random Programs showed.

    Attributes
    ----------
    programs, records, cycles : int
        How many were run and equal, and their simulated cycles.
    failure : tuple of str
        What the first case that failed does otherwise than the simulator, after shrinking; empty if none did.
    kept : Path or None
        Folder of that case.
    coverage : Coverage
        Of the Programs that were equal.
    """

    programs: int
    records: int
    cycles: int
    failure: tuple[str, ...]
    kept: Path | None
    coverage: Coverage


def verify_random(machine: Machine, count: int, seed: int, engine: Engine, keep: Path,
                  progress: Steps) -> RandomVerification:
    """Run random Programs on the RTL of `machine` until one differs.

    Parameters
    ----------
    machine : Machine
    count : int
        Programs; fewer when nothing can be added to the coverage.
    seed : int
    engine : Engine
        The RTL simulator.
    keep : Path
        Where a failing case is kept, made as simple as it can be.
    progress : Steps
        Gets a step for every batch.
    """
    rng, coverage, equal = np.random.default_rng(seed), Coverage(GROUPS), list[Case]()
    aimed = Coverage(GROUPS)
    while len(equal) < count:
        drawn = []
        for case, decisions in directed_cases(rng, machine, aimed, min(BATCH, count - len(equal))):
            aimed.add(aimed.bins_of(case.plan))
            drawn.append((case, decisions))
        if not drawn:
            break
        for case, decisions, found in _compared(drawn, engine):
            if found:
                return _summary(equal, coverage, *_kept(case, decisions, machine, engine, keep))
            coverage.add(coverage.bins_of(case.plan))
            equal.append(case)
        progress.done(f"{len(equal)} Programs are equal, {coverage.percent:.1f} % of the bins met")
    return _summary(equal, coverage, (), None)


def _compared(drawn: Sequence[tuple[Case, list[int]]],
              engine: Engine) -> list[tuple[Case, list[int], tuple[str, ...]]]:
    """The cases, their decisions and what differs: run behind one another, or alone if they do not all end."""
    try:
        results = run_all([(case.plan, case.inputs) for case, _ in drawn], engine=engine)
    except SimulationError:
        return [(case, decisions, _faults(case, engine)) for case, decisions in drawn]
    return [(case, decisions, tuple(differences(case.plan, case.inputs, result)))
            for (case, decisions), result in zip(drawn, results, strict=True)]


def _faults(case: Case, engine: Engine) -> tuple[str, ...]:
    """What differs; that a case does not run to its end is one more thing."""
    try:
        (result,) = run_all([(case.plan, case.inputs)], engine=engine)
    except SimulationError as error:
        return (str(error).splitlines()[0],)
    return tuple(differences(case.plan, case.inputs, result))


def _kept(case: Case, decisions: Sequence[int], machine: Machine, engine: Engine,
          keep: Path) -> tuple[tuple[str, ...], Path]:
    """The faults of a failing case made simple, and where it is kept."""
    minimal = shrink_case(decisions, machine, lambda simpler: bool(_faults(simpler, engine)), ATTEMPTS,
                          **directed_options(machine))
    found = _faults(minimal, engine)
    return found, save_case(Case(minimal.program, minimal.machine, minimal.inputs, {"found": list(found)}), keep)


def _summary(equal: Sequence[Case], coverage: Coverage, failure: tuple[str, ...],
             kept: Path | None) -> RandomVerification:
    return RandomVerification(len(equal), sum(len(case.plan.program.records) for case in equal),
                              sum(timeline(case.plan).total for case in equal), failure, kept, coverage)
