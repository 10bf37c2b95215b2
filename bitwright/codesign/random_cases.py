"""Random cases on the RTL: which of them differ from the simulator, and the simplest that still differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

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


def keep_simplest(decisions: Sequence[int], machine: Machine, engine: Engine, folder: Path,
                  say: Callable[[str], None], **options: object) -> tuple[tuple[str, ...], Path]:
    """Simplify a failing case and keep it; return what differs in it and its folder.

    Parameters
    ----------
    decisions : sequence of int
        What it was drawn from on `machine`, with the `options` of `sim.testing.stimulus.cases.draw_case`.
    machine : Machine
    engine : Engine
    folder : Path
        Gets a folder for the case.
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

    minimal = shrink_case(decisions, machine, fails, ATTEMPTS, **options)
    found = faults(minimal, engine)
    notes: dict[str, object] = {"found": list(found)}
    return found, save_case(Case(minimal.program, minimal.machine, minimal.inputs, notes), folder)
