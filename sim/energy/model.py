"""Energy of event counts: a sum of counts times prices, so that it is linear in the counts.

Every price is scaled from the point at which its table states it to the machine:

    price = fixed + (energy - fixed) * (width / at.width)**at.width_exponent * (capacity / at.kib)**at.exponent
                                     * (at.mhz / clock_mhz)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from sim.arch.machine import Machine
from sim.energy.events import COMPONENTS, HOST_MEMORY, PRICED
from sim.energy.technology import Price, Technology
from sim.errors import InputError

__all__ = ["Energy", "EnergyRange", "energy", "prices"]


@dataclass(frozen=True)
class EnergyRange:
    """An energy with its uncertainty [pJ]; low <= nominal <= high."""

    low_pj: float
    nominal_pj: float
    high_pj: float


@dataclass(frozen=True)
class Energy(EnergyRange):
    """A total and the events that it is the sum of."""

    by_event: dict[str, EnergyRange]

    @property
    def by_component(self) -> dict[str, EnergyRange]:
        """Energy of each part of the machine, and of the host's memory, of `sim.energy.events.COMPONENTS`."""
        return {component: _sum([part for event, part in self.by_event.items()
                                 if PRICED[event].component == component]) for component in COMPONENTS}

    @property
    def on_chip(self) -> EnergyRange:
        """Energy without the host's memory."""
        return _sum([part for component, part in self.by_component.items() if component != HOST_MEMORY])


def energy(counts: Mapping[str, int], machine: Machine, technology: Technology) -> Energy:
    """Return what events cost on a machine. Events that are left out did not happen.

    Parameters
    ----------
    counts : mapping of str to int
        How often each event of `sim.energy.events.PRICED` happened; `cycles` are clock cycles.
    machine : Machine
        Gives widths, capacities and the clock.
    technology : Technology

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
    for event, count in counts.items():
        if event not in PRICED:
            raise InputError(f"no event is called '{event}'; there are {', '.join(PRICED)}")
        if count < 0:
            raise InputError(f"event '{event}' must be counted from 0 up, not {count}")
    price_of = prices(machine, technology)
    by_event = {event: _times(count, price_of[event]) for event, count in counts.items()}
    total = _sum(list(by_event.values()))
    return Energy(total.low_pj, total.nominal_pj, total.high_pj, by_event)


def prices(machine: Machine, technology: Technology) -> dict[str, EnergyRange]:
    """Return the energy of one event of each kind on `machine` [pJ]."""
    return {event: _scaled(price, machine) for event, price in technology.prices.items()}


def _sum(parts: Sequence[EnergyRange]) -> EnergyRange:
    return EnergyRange(fsum(part.low_pj for part in parts), fsum(part.nominal_pj for part in parts),
                       fsum(part.high_pj for part in parts))


def _times(count: int, price: EnergyRange) -> EnergyRange:
    return EnergyRange(count * price.low_pj, count * price.nominal_pj, count * price.high_pj)


def _scaled(price: Price, machine: Machine) -> EnergyRange:
    event, factor = PRICED[price.name], 1.0
    if price.at.width is not None:
        factor *= (event.width.of(machine) / price.at.width) ** price.at.width_exponent
    if price.at.kib is not None and event.memory is not None:
        factor *= (event.memory.kib(machine) / price.at.kib) ** price.at.exponent
    if price.at.mhz is not None:
        factor *= price.at.mhz / machine.clock_mhz
    fixed = price.fixed
    return EnergyRange(fixed + (price.energy_lo - fixed) * factor, fixed + (price.energy - fixed) * factor,
                       fixed + (price.energy_hi - fixed) * factor)
