"""Machines side by side: the parameters in which they differ, and the area of every part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sim.arch.machine import Machine
from sim.cost.area import area
from sim.energy.band import Band
from sim.energy.technology import Technology

__all__ = ["AreaComparison", "MachineComparison", "compare_machines"]

TOTAL = "total"


@dataclass(frozen=True)
class AreaComparison:
    """The area of a part, or of all, in every machine.

    Attributes
    ----------
    part : str
        Of `sim.energy.parts.PARTS`, or `total`.
    areas_mm2 : tuple of Band or None
        None: the technology of that machine has no areas.
    open : tuple of bool
        For each machine: numbers inside the bands can turn its order and the first machine's around.
    """

    part: str
    areas_mm2: tuple[Band | None, ...]
    open: tuple[bool, ...]


@dataclass(frozen=True)
class MachineComparison:
    """What differs between machines.

    Attributes
    ----------
    names : tuple of str
    parameters : dict of str to tuple
        Values by machine, of the parameters that are not the same in all.
    areas : tuple of AreaComparison
        Every part in which they differ, and the total.
    """

    names: tuple[str, ...]
    parameters: dict[str, tuple[Any, ...]]
    areas: tuple[AreaComparison, ...]


def compare_machines(machines: Sequence[Machine], technologies: Sequence[Technology]) -> MachineComparison:
    """Compare machines, each with its technology.

    Examples
    --------
    >>> from sim.arch.machine import load_machine
    >>> edge = load_machine("edge")
    >>> wider = edge.model_copy(update={"stream_bits": 32})
    >>> compare_machines([edge, wider], []).parameters
    {'stream_bits': (128, 32)}
    """
    told = [_flat(machine.model_dump(mode="json")) for machine in machines]
    names = dict.fromkeys(name for values in told for name in values)
    parameters = {name: tuple(values.get(name) for values in told) for name in names if name != "name"}
    found = [area(machine, technology).by_part if technology.ART else {}
             for machine, technology in zip(machines, technologies, strict=bool(technologies))]
    shared = [technology == technologies[0] for technology in technologies]
    parts = dict.fromkeys(part for by_part in found for part in by_part)
    areas = [AreaComparison(part, of_part, _open([{part: band} for band in of_part], shared)) for part in parts
             if len({*(of_part := tuple(by_part.get(part) for by_part in found))}) > 1]
    totals = tuple(area(machine, technology).total_mm2 if technology.ART else None
                   for machine, technology in zip(machines, technologies, strict=bool(technologies)))
    areas.append(AreaComparison(TOTAL, totals, _open(found, shared)))
    return MachineComparison(tuple(machine.name for machine in machines), {
        name: values for name, values in parameters.items() if any(value != values[0] for value in values)},
        tuple(areas))


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters with those of the host's memory as `memory.beats`."""
    return {name if inner is None else f"{name}.{inner}": value for name, outer in values.items()
            for inner, value in (outer.items() if isinstance(outer, dict) else [(None, outer)])}


def _open(by_part: Sequence[Mapping[str, Band | None]], shared: Sequence[bool]) -> tuple[bool, ...]:
    """Tell for each machine whether its order and the first one's is open.

    With one technology all have the same numbers, so that the difference is bounded part by part.
    """
    return tuple(_is_open(by_part[0], other, same) for other, same in zip(by_part, shared, strict=True))


def _is_open(first: Mapping[str, Band | None], other: Mapping[str, Band | None], same: bool) -> bool:
    pairs = [(one, two) for part, one in first.items() if one is not None and (two := other.get(part)) is not None]
    if same:
        differences = [(two.low - one.low, two.high - one.high) for one, two in pairs]
        return sum(map(min, differences)) < 0 < sum(map(max, differences))
    return bool(pairs) and (sum(one.low for one, _ in pairs) <= sum(two.high for _, two in pairs)
                            and sum(two.low for _, two in pairs) <= sum(one.high for one, _ in pairs))
