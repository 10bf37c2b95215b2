"""From measured workloads to the energies of events, with bands over data, wires and the clock tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rtl.gates.components import ELEMENT_STAGES
from rtl.gates.measure import FREE, Measured
from sim.arch.machine import Machine
from sim.energy.band import Band

__all__ = ["EventEnergies", "array_energies", "event_energies"]

WIRES = TREES = (0.0, 2.0)
"""Ends of the band, in nominal wire loads and clock trees."""


@dataclass(frozen=True)
class EventEnergies:
    """Energies of events on the machine that was measured [fJ].

    Attributes
    ----------
    events : dict of str to Band
        Of `pair_lanes`, `narrow_adds`, `wide_adds`, `operand_bits`, `lane_adds` and `requant_terms`; those that did not
        happen are missing.
    operand_read : Band
        Of a plane that operand registers show.
    bank_access : Band
        Of the logic around a bank of activations, for a read or a write.
    control, moving : Band
        Of a cycle: all control with the clocks that no gate stops, and what moves weights, parameters and outputs.
    """

    events: dict[str, Band]
    operand_read: Band
    bank_access: Band
    control: Band
    moving: Band


def event_energies(machine: Machine, runs: Sequence[Measured]) -> EventEnergies:
    """Return the energies that fit runs best, relative errors being weighed equally."""
    events = array_energies(machine, runs)
    for event in ("operand_bits", "lane_adds", "requant_terms"):
        if all(run.events[event] for run in runs):
            events[event] = _ratio(runs, (event,), lambda run, event=event: run.events[event])  # type: ignore[misc]
    return EventEnergies(
        events, _ratio(runs, ("operand_reads",), lambda run: run.operand_reads),
        _ratio(runs, ("banks",), lambda run: run.events["act_reads"] + run.events["act_writes"]),
        _ratio(runs, ("control", FREE), lambda run: run.cycles), _ratio(runs, ("moving",), lambda run: run.cycles))


def array_energies(machine: Machine, runs: Sequence[Measured]) -> dict[str, Band]:
    """Return the energies of an element: what it takes is fitted to its pairs and its steps.

    What the logic of wide additions takes in pairs that end no step is part of the narrow ones.
    """
    totals = np.array([sum(run.total(stage) for stage in ELEMENT_STAGES) for run in runs])
    counts = np.array([[run.events["narrow_adds"], run.events["wide_adds"]] for run in runs], float)
    pair, step = _least_squares(counts / totals[:, None])
    lanes = [run.total("pair_lanes") / run.events["narrow_adds"] for run in runs]
    of_lanes = min(float(np.mean(lanes)), pair)
    fitted = counts @ np.array([pair, step])
    low, high = (_end(end, [_elements(run, wires, tree) / fit for run, fit in zip(runs, fitted, strict=True)])
                 for end, wires, tree in zip((min, max), WIRES, TREES, strict=True))
    nominal = {"pair_lanes": of_lanes / machine.lanes, "narrow_adds": pair - of_lanes, "wide_adds": step}
    return {name: Band(value * min(low, 1.0), value, value * max(high, 1.0)) for name, value in nominal.items()}


def _elements(run: Measured, wires: float, tree: float) -> float:
    return sum(run.total(stage, wires, tree) for stage in ELEMENT_STAGES)


def _end(end: Callable[[list[float]], float], values: list[float]) -> float:
    return end(values)


def _least_squares(shares: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[float, float]:
    """Return two numbers from 0 up for which `shares @ numbers` is nearest to ones."""
    ones = np.ones(len(shares))
    both = np.linalg.lstsq(shares, ones, rcond=None)[0]
    if (both >= 0).all():
        return float(both[0]), float(both[1])
    alone = [float((column @ ones) / (column @ column)) for column in shares.T]
    errors = [float(((column * value - 1) ** 2).sum()) for column, value in zip(shares.T, alone, strict=True)]
    return (alone[0], 0.0) if errors[0] <= errors[1] else (0.0, alone[1])


def _ratio(runs: Sequence[Measured], components: tuple[str, ...], count: Callable[[Measured], int]) -> Band:
    """Return the energy of components for each of what is counted; in the middle between the extremes' ratios."""
    used = [run for run in runs if count(run)]
    if not used:
        return Band(0.0, 0.0, 0.0)
    found = [sum(run.total(name) for name in components) / count(run) for run in used]
    low, high = (_end(end, [sum(run.total(name, wires, tree) for name in components) / count(run) for run in used])
                 for end, wires, tree in zip((min, max), WIRES, TREES, strict=True))
    return Band(low, float(np.sqrt(min(found) * max(found))), high)
