"""Networks, bits and machines side by side: figures, which differences prices in their bands leave open, layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sim.arch.machine import Machine
from sim.cost.estimate import Estimate
from sim.cost.robustness import energy_difference
from sim.energy.band import Band
from sim.energy.model import prices
from sim.energy.technology import Technology

__all__ = ["Candidate", "FigureComparison", "LayerComparison", "compare_figures", "compare_layers"]

ENERGY_TIMES: dict[str, Callable[[Estimate], float]] = {
    "energy_mj": lambda cost: 1.0,
    "power_mw": lambda cost: 1 / cost.latency_cycles,
    "edp_mj_ms": lambda cost: float(cost.latency_cycles),
    "tops_per_w": lambda cost: 1 / max(1, cost.macs)}
"""Figures whose order is that of the energy times an exact number, or the reverse of it."""


@dataclass(frozen=True)
class Candidate:
    """One of those that are compared.

    Attributes
    ----------
    name : str
    machine : Machine or None
    technology : Technology or None
        None: all that is known is the name.
    cost : Estimate
        Of one image.
    machine_name, technology_name : str
        Where the things themselves are not known.
    accuracy : dict of str to float
        By the set of images, as far as it was measured.
    """

    name: str
    machine: Machine | None
    technology: Technology | None
    cost: Estimate
    machine_name: str = ""
    technology_name: str = ""
    accuracy: Mapping[str, float] = field(default_factory=dict)

    @property
    def on(self) -> str:
        """Name of the machine."""
        return self.machine.name if self.machine else self.machine_name

    @property
    def priced_by(self) -> str:
        """Name of the technology."""
        return self.technology.name if self.technology else self.technology_name


@dataclass(frozen=True)
class FigureComparison:
    """A figure of the first candidate and of another one.

    Attributes
    ----------
    figure : str
        With its unit, as in `Estimate.figures`, or `latency_cycles` or `weight_bytes`.
    other : str
        Name of the other candidate.
    first_value, other_value : float or Band
    ratio : float or None
        The other's nominal value in those of the first; None if that is 0.
    open : bool
        Numbers inside the bands can turn the order around. Where both have the same machine and technology, they pay
        the same prices, and the difference is bounded event by event; elsewhere the bands must not overlap.
    """

    figure: str
    other: str
    first_value: float | Band
    other_value: float | Band
    ratio: float | None
    open: bool


@dataclass(frozen=True)
class LayerComparison:
    """A layer that several candidates have.

    Attributes
    ----------
    layer : str
    latency_cycles : tuple of int or None
        By candidate; None where it lacks the layer.
    energy_pj : tuple of float or None
        Nominal.
    """

    layer: str
    latency_cycles: tuple[int | None, ...]
    energy_pj: tuple[float | None, ...]

    @property
    def spread_cycles(self) -> int:
        """Largest less smallest latency [cycles]; a layer that a candidate lacks takes none there."""
        cycles = [count or 0 for count in self.latency_cycles]
        return max(cycles) - min(cycles)


def compare_figures(candidates: Sequence[Candidate]) -> list[FigureComparison]:
    """Compare every figure of the first candidate with that of each other one that has it."""
    first, *others = candidates
    return [comparison for other in others for comparison in _figures(first, other)]


def compare_layers(candidates: Sequence[Candidate]) -> list[LayerComparison]:
    """Return all layers by name, those first whose latencies differ most."""
    layers = [{layer.name: layer for layer in candidate.cost.layers} for candidate in candidates]
    names = dict.fromkeys(name for found in layers for name in found)
    compared = [LayerComparison(
        name, tuple(found[name].latency_cycles if name in found else None for found in layers),
        tuple(found[name].energy.nominal_pj if name in found else None for found in layers)) for name in names]
    return sorted(compared, key=lambda layer: -layer.spread_cycles)


def _figures(first: Candidate, other: Candidate) -> Iterator[FigureComparison]:
    one, two = _all_figures(first.cost), _all_figures(other.cost)
    for name in one:
        if name in two:
            yield FigureComparison(name, other.name, one[name], two[name], _ratio(one[name], two[name]),
                                   _is_open(name, first, other, one[name], two[name]))


def _all_figures(cost: Estimate) -> dict[str, float | Band]:
    return {"latency_cycles": cost.latency_cycles, **cost.figures, "weight_bytes": cost.weight_bytes}


def _ratio(first: float | Band, other: float | Band) -> float | None:
    one, two = (value.nominal if isinstance(value, Band) else value for value in (first, other))
    return two / one if one else None


def _is_open(name: str, first: Candidate, other: Candidate, one: float | Band, two: float | Band) -> bool:
    if not isinstance(one, Band) or not isinstance(two, Band):
        return False
    machine, technology = first.machine, first.technology
    if name in ENERGY_TIMES and machine and technology and (machine, technology) == (other.machine, other.technology):
        less, more = (_scaled(candidate.cost, ENERGY_TIMES[name](candidate.cost)) for candidate in (first, other))
        difference = energy_difference(less, more, prices(machine, technology))
        return difference.low_pj < 0 < difference.high_pj
    return one != two and one.low <= two.high and two.low <= one.high


def _scaled(cost: Estimate, factor: float) -> dict[str, float]:
    return {event: count * factor for event, count in cost.events.items()}
