"""Random cases on the RTL: which of them differ from the simulator, and the simplest one that still does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from bitwright.console import message
from rtl.cosim.run import run_all
from rtl.cosim.scoreboard import differences
from rtl.cosim.simulators import Engine, SimulationError
from sim.arch.machine import Machine
from sim.testing.stimulus.cases import Case, save_case, shrink_case

__all__ = ["compared", "keep_simplest"]

ATTEMPTS = 150
"""Runs that shrinking may take."""
SHOWN = 20
"""Attempts after which shrinking says that it goes on."""


def compared(cases: Sequence[Case], engine: Engine) -> list[tuple[str, ...]]:
    """What differs, case by case: run behind one another in one simulation, or alone if they do not all end."""
    try:
        results = run_all([(case.plan, case.inputs) for case in cases], engine=engine)
    except SimulationError:
        return [faults(case, engine) for case in cases]
    return [tuple(differences(case.plan, case.inputs, result)) for case, result in zip(cases, results, strict=True)]


def faults(case: Case, engine: Engine) -> tuple[str, ...]:
    """What differs; that a case does not run to its end is one more thing."""
    try:
        (result,) = run_all([(case.plan, case.inputs)], engine=engine)
    except SimulationError as error:
        return (str(error).splitlines()[0],)
    return tuple(differences(case.plan, case.inputs, result))


def keep_simplest(decisions: Sequence[int], machine: Machine, engine: Engine, folder: Path,
                  **options: object) -> tuple[tuple[str, ...], Path]:
    """Make a failing case simple and keep it; what it does otherwise than the simulator, and where it lies.

    Parameters
    ----------
    decisions : sequence of int
        From which it was drawn on `machine`, with `options` of `sim.testing.stimulus.cases.draw_case`.
    machine : Machine
    engine : Engine
    folder : Path
        Gets a folder for the case.
    """
    attempts, started = 0, perf_counter()

    def fails(simpler: Case) -> bool:
        nonlocal attempts
        found = bool(faults(simpler, engine))
        attempts += 1
        if attempts % SHOWN == 1:
            each = (perf_counter() - started) / attempts
            message(f"a case differs and is made simple: {attempts} of at most {ATTEMPTS} runs, {each:.1f} s each")
        return found

    minimal = shrink_case(decisions, machine, fails, ATTEMPTS, **options)
    found = faults(minimal, engine)
    notes: dict[str, object] = {"found": list(found)}
    return found, save_case(Case(minimal.program, minimal.machine, minimal.inputs, notes), folder)
