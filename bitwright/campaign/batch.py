"""A job of a campaign: some random Programs on one machine, in one simulation of the RTL."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bitwright.codesign.random_cases import compared, simplest
from rtl.cosim.simulators import Engine, engine_named
from sim.arch.machine import Machine
from sim.testing.coverage.bins import GROUPS
from sim.testing.coverage.coverage import Coverage
from sim.testing.coverage.extremes import Drawn, draw_pair, draw_plain, extents_of

__all__ = ["Pair", "run_batch"]


@dataclass(frozen=True)
class Pair:
    """A Program that was run on a machine.

    Attributes
    ----------
    number : int
        Index of the Program among those of the machine.
    cycles : int
    ops : int
    extents : dict of str to int
        Extents of the largest op, by `sim.testing.coverage.extremes.extents_of`.
    found : sequence of str
        What differs from the simulator in the simplest case near this one; empty if nothing does.
    decisions : list of int
        What that case is drawn from, with these options of `sim.testing.stimulus.cases.draw_case`.
    options : dict
    """

    number: int
    cycles: int
    ops: int
    extents: dict[str, int]
    found: Sequence[str] = ()
    decisions: Sequence[int] = ()
    options: dict[str, Any] | None = None


def run_batch(machine: dict[str, Any], engine: str, seed: Sequence[int], first: int, last: int, most_cycles: int,
              layers: int | None) -> dict[str, Any]:
    """Draw Programs `first` .. `last - 1` of a machine, run them on the RTL, and compare them with the simulator.

    Parameters
    ----------
    machine : dict
        Its parameters.
    engine : str
        The RTL simulator.
    seed : sequence of int
        Of the machine; the number of the Program is added.
    first, last : int
    most_cycles : int
        Of a Program.
    layers : int or None
        Most layers of plain Programs; None: every other Program is large in one way.

    Returns
    -------
    dict
        The `pairs`, the `coverage` of those that are equal, and `cpu_seconds`, also of the simulator.
    """
    target, simulator, started = Machine.model_validate(machine), engine_named(engine), _cpu_seconds()
    drawn = [_draw(np.random.default_rng((*seed, number)), target, number, most_cycles, layers)
             for number in range(first, last)]
    coverage, pairs = Coverage(GROUPS), list[Pair]()
    for number, one, found in zip(range(first, last), drawn, compared([case for case, _, _ in drawn], simulator),
                                  strict=True):
        case, _, _ = one
        pair = Pair(number, case.plan.timeline.total, len(case.plan.program.ops), extents_of(case))
        if not found:
            coverage.add(coverage.bins_of(case.plan, case.codes))
        pairs.append(_simplified(pair, one, target, simulator) if found else pair)
    return {"pairs": [asdict(pair) for pair in pairs], "coverage": coverage.counts,
            "cpu_seconds": _cpu_seconds() - started}


def _draw(rng: np.random.Generator, machine: Machine, number: int, most_cycles: int, layers: int | None) -> Drawn:
    if layers is None:
        return draw_pair(rng, machine, number, most_cycles)
    return draw_plain(rng, machine, layers, most_cycles)


def _simplified(pair: Pair, drawn: Drawn, machine: Machine, engine: Engine) -> Pair:
    """Describe a pair that differs, with the simplest case near it."""
    _, decisions, options = drawn
    least = simplest(decisions, machine, engine, lambda text: None, **options)
    return Pair(pair.number, pair.cycles, pair.ops, pair.extents, least.found, least.decisions, options)


def _cpu_seconds() -> float:
    """Return the processor time of this process and of those that it has waited for [s]."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
