"""Random cases on the RTL: which of them differ from the simulator, and the simplest that still differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from rtl.cosim.run import run_all
from rtl.cosim.scoreboard import differences
from rtl.cosim.simulators import Engine, SimulationError
from sim.arch.machine import Machine
from sim.testing.stimulus.cases import Case, save_case, shrink_case

__all__ = ["Simplest", "compared", "keep", "simplest"]

ATTEMPTS = 150
"""Runs that shrinking may take."""
SHOWN = 20
"""Attempts after which shrinking says that it goes on."""


def compared(cases: Sequence[Case], engine: Engine) -> list[tuple[str, ...]]:
    """Return what differs from the simulator in each case.

    The cases run one after another in one simulation, or each in its own if they do not all end.
    """
    try:
        results = run_all([(case.plan, case.inputs) for case in cases], engine=engine)
    except SimulationError:
        return [faults(case, engine) for case in cases]
    return [tuple(differences(case.plan, case.inputs, result)) for case, result in zip(cases, results, strict=True)]


def faults(case: Case, engine: Engine) -> tuple[str, ...]:
    """Return what differs from the simulator in a case, or that it does not run to its end."""
    try:
        (result,) = run_all([(case.plan, case.inputs)], engine=engine)
    except SimulationError as error:
        return (str(error).splitlines()[0],)
    return tuple(differences(case.plan, case.inputs, result))


@dataclass(frozen=True)
class Simplest:
    """The simplest case near one that differs.

    Attributes
    ----------
    case : Case
    decisions : list of int
        What it is drawn from.
    found : tuple of str
        What differs in it.
    """

    case: Case
    decisions: list[int]
    found: tuple[str, ...]


def simplest(decisions: Sequence[int], machine: Machine, engine: Engine, say: Callable[[str], None],
             **options: Any) -> Simplest:
    """Simplify a failing case.

    Parameters
    ----------
    decisions : sequence of int
        What it was drawn from on `machine`, with the `options` of `sim.testing.stimulus.cases.draw_case`.
    machine : Machine
    engine : Engine
    say : callable
        Gets a sentence now and then, since the runs may take long.
    """
    attempts, started = 0, perf_counter()

    def fails(simpler: Case) -> bool:
        nonlocal attempts
        found = bool(faults(simpler, engine))
        attempts += 1
        if attempts % SHOWN == 1:
            each = (perf_counter() - started) / attempts
            say(f"a case differs and is made simple: {attempts} of at most {ATTEMPTS} runs, {each:.1f} s each")
        return found

    minimal, simpler = shrink_case(decisions, machine, fails, ATTEMPTS, **options)
    return Simplest(minimal, simpler, faults(minimal, engine))


def keep(case: Case, found: Sequence[str], folder: Path) -> Path:
    """Keep a case that differs below `folder`, with what differs, and return its own folder."""
    return save_case(replace(case, notes={"found": list(found)}), folder)
