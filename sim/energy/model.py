"""Energy of event counts: a sum of counts times prices, so that it is linear in the counts.

Every price is scaled from the point at which its row states it to the machine, as `sim.energy.rows` says. The price of
a clock cycle includes what leaks in it, and what the host's memory takes at rest; that of a bit on a stream its share
of opening a row of that memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum

from sim.arch.machine import Machine
from sim.energy.band import Band, sum_bands
from sim.energy.events import COMPONENTS, HOST_MEMORY, LEAKAGE, PRICED
from sim.energy.of_parts import leakages_uw
from sim.energy.rows import Price
from sim.energy.technology import Technology
from sim.errors import InputError

__all__ = ["Energy", "EnergyRange", "PriceList", "Toggles", "add_energies", "energy", "prices"]

Toggles = Mapping[str, float]
"""Shares of bits that change from one event to the next: of `products` and of `activations`."""


@dataclass(frozen=True)
class EnergyRange:
    """An energy with its uncertainty [pJ]; low <= nominal <= high."""

    low_pj: float
    nominal_pj: float
    high_pj: float

    @property
    def band(self) -> Band:
        """The same without its unit."""
        return Band(self.low_pj, self.nominal_pj, self.high_pj)

    def times(self, count: int) -> EnergyRange:
        """Return the energy of so many."""
        if count == 0:
            return NO_ENERGY
        return EnergyRange(self.low_pj * count, self.nominal_pj * count, self.high_pj * count)


NO_ENERGY = EnergyRange(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Energy(EnergyRange):
    """A total and the events that it is the sum of.

    Attributes
    ----------
    by_event : dict of str to EnergyRange
    of_cycles : dict of str to EnergyRange
        The energy of `cycles` by the components that it is in.
    """

    by_event: dict[str, EnergyRange]
    of_cycles: dict[str, EnergyRange] = field(default_factory=dict)

    @property
    def by_component(self) -> dict[str, EnergyRange]:
        """Energy of each part of the machine, and of the host's memory, of `sim.energy.events.COMPONENTS`."""
        found: dict[str, list[EnergyRange]] = {component: [] for component in COMPONENTS}
        for event, part in self.by_event.items():
            if event != "cycles":
                found[PRICED[event].component].append(part)
        for component, part in self.of_cycles.items():
            found[component].append(part)
        return {component: _sum(parts) for component, parts in found.items()}

    @property
    def on_chip(self) -> EnergyRange:
        """Energy without the host's memory."""
        return _sum(part for component, part in self.by_component.items() if component != HOST_MEMORY)


def energy(counts: Mapping[str, int], machine: Machine, technology: Technology,
           toggles: Toggles | None = None) -> Energy:
    """Return what events cost on a machine. Events that are left out did not happen.

    Parameters
    ----------
    counts : mapping of str to int
        How often each event of `sim.energy.events.PRICED` happened; `cycles` are clock cycles.
    machine : Machine
        Gives widths, capacities and the clock.
    technology : Technology
    toggles : mapping of str to float, optional
        Of the data, in 0..1; without one, those at which a row states its energy.

    Raises
    ------
    InputError
        If an event is unknown or a count negative.

    Examples
    --------
    >>> from sim.arch.machine import load_machine
    >>> from sim.energy.technology import load_technology
    >>> energy({"pair_lanes": 1000}, load_machine("edge"), load_technology("generic45")).nominal_pj
    6.0
    """
    return PriceList(machine, technology).energy(counts, toggles)


def add_energies(parts: Sequence[Energy]) -> Energy:
    """Return the energy of several things together, event by event."""
    def added(ranges: Iterable[Mapping[str, EnergyRange]]) -> dict[str, EnergyRange]:
        found: dict[str, list[EnergyRange]] = {}
        for one in ranges:
            for name, part in one.items():
                found.setdefault(name, []).append(part)
        return {name: _sum(of_name) for name, of_name in found.items()}

    by_event = added(part.by_event for part in parts)
    total = _sum(by_event.values())
    return Energy(total.low_pj, total.nominal_pj, total.high_pj, by_event, added(part.of_cycles for part in parts))


def prices(machine: Machine, technology: Technology, toggles: Toggles | None = None) -> dict[str, EnergyRange]:
    """Return the energy of one event of each kind on `machine` [pJ], with the data's toggles if they are given."""
    return PriceList(machine, technology).prices(toggles)


class PriceList:
    """The prices of one machine, each of which is computed once.

    Parameters
    ----------
    machine : Machine
    technology : Technology
    """

    def __init__(self, machine: Machine, technology: Technology) -> None:
        self._machine, self._technology = machine, technology
        self._of_a_cycle = _of_a_cycle(machine, technology)
        self._known: dict[tuple[tuple[str, float], ...], dict[str, EnergyRange]] = {}

    def prices(self, toggles: Toggles | None = None) -> dict[str, EnergyRange]:
        """Return what the function `prices` does."""
        key = tuple(sorted((toggles or {}).items()))
        if key not in self._known:
            rows = self._technology.prices
            scaled = {event: _range(_scaled(rows[event], self._machine, self._technology, toggles or {}))
                      for event, row in PRICED.items() if not key or row.data in (toggles or {})}
            self._known[key] = {**self.prices(), **scaled} if key else (
                scaled | {"cycles": _sum(self._of_a_cycle.values())})
        return self._known[key]

    def nominal_pj(self, counts: Mapping[str, int], toggles: Toggles | None = None) -> float:
        """Return the nominal energy of events [pJ]."""
        price_of = self.prices(toggles)
        return fsum(price_of[event].nominal_pj * count for event, count in counts.items())

    def energy(self, counts: Mapping[str, int], toggles: Toggles | None = None) -> Energy:
        """Return what the function `energy` does."""
        for event, count in counts.items():
            if event not in PRICED:
                raise InputError(f"no event is called '{event}'; there are {', '.join(PRICED)}")
            if count < 0:
                raise InputError(f"event '{event}' must be counted from 0 up, not {count}")
        price_of = self.prices(toggles)
        by_event = {event: price_of[event].times(count) for event, count in counts.items()}
        of_cycles = {component: price.times(counts.get("cycles", 0)) for component, price in self._of_a_cycle.items()}
        total = _sum(by_event.values())
        return Energy(total.low_pj, total.nominal_pj, total.high_pj, by_event, of_cycles)


def _of_a_cycle(machine: Machine, technology: Technology) -> dict[str, EnergyRange]:
    """Return the energy of a clock cycle by component [pJ]: a power of 1 uW is 1 pJ in a cycle at 1 MHz."""
    cycle = {PRICED["cycles"].component: _range(_scaled(technology.prices["cycles"], machine, technology, {}))}
    leaking = sum_bands(leakages_uw(machine, technology).values()).times(1 / machine.clock_mhz)
    idle = technology.memory_idle
    at_rest = idle.band.times(1 / machine.clock_mhz) if idle else Band(0.0, 0.0, 0.0)
    return cycle | {LEAKAGE: _range(leaking), HOST_MEMORY: _range(at_rest)}


def _scaled(price: Price, machine: Machine, technology: Technology, toggles: Toggles) -> Band:
    """Return the price of an event without what shares its count."""
    row = PRICED[price.name]
    data_factor = price.data_factor(toggles[row.data]) if row.data is not None and row.data in toggles else 1.0
    band = price.at_machine(row.width.of(machine), row.memory.kib(machine) if row.memory else None,
                            machine.clock_mhz, data_factor)
    opening = technology.row_activation
    if row.component == HOST_MEMORY and technology.host_memory and opening:
        row_bits, burst_bits = technology.host_memory.row_bits, technology.host_memory.burst_bits
        band = sum_bands([band, Band(opening.band.low / row_bits, opening.band.nominal / row_bits,
                                     opening.band.high / burst_bits)])
    return band


def _range(band: Band) -> EnergyRange:
    return EnergyRange(band.low, band.nominal, band.high)


def _sum(parts: Iterable[EnergyRange]) -> EnergyRange:
    all_of_it = tuple(parts)
    return EnergyRange(fsum(part.low_pj for part in all_of_it), fsum(part.nominal_pj for part in all_of_it),
                       fsum(part.high_pj for part in all_of_it))
