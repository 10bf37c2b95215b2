"""Energy of event counts: a sum of counts times prices, so that it is linear in the counts.

Every price is scaled from the point at which its table states it to the machine:

    price = energy * (width / at.width) * (capacity / at.kib)**at.exponent * (at.mhz / clock_mhz)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum, log2

from sim.arch.machine import Machine
from sim.energy.technology import PRICED, Price, Technology
from sim.errors import InputError
from sim.mapping.depthwise_lanes import lane_sum_bits

__all__ = ["Band", "Energy", "energy", "event_capacity_kib", "event_width", "prices"]


@dataclass(frozen=True)
class Band:
    """An energy with its uncertainty [pJ]; low <= nominal <= high."""

    low_pj: float
    nominal_pj: float
    high_pj: float


@dataclass(frozen=True)
class Energy(Band):
    """A total and the events that it is the sum of."""

    by_event: dict[str, Band]


def energy(counts: Mapping[str, int], machine: Machine, technology: Technology) -> Energy:
    """What events cost on a machine. Events that are left out did not happen.

    Parameters
    ----------
    counts : mapping of str to int
        How often each event of `sim.energy.technology.PRICED` happened; `cycles` are clock cycles.
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
    by_event = {event: Band(count * price_of[event].low_pj, count * price_of[event].nominal_pj,
                            count * price_of[event].high_pj) for event, count in counts.items()}
    bands = by_event.values()
    return Energy(fsum(b.low_pj for b in bands), fsum(b.nominal_pj for b in bands), fsum(b.high_pj for b in bands),
                  by_event)


def prices(machine: Machine, technology: Technology) -> dict[str, Band]:
    """Energy of one event of each kind on `machine` [pJ]."""
    return {event: _scaled(price, machine) for event, price in technology.prices.items()}


def _scaled(price: Price, machine: Machine) -> Band:
    factor, capacity = 1.0, event_capacity_kib(price.name, machine)
    if price.at.width is not None:
        factor *= event_width(price.name, machine) / price.at.width
    if price.at.kib is not None and capacity is not None:
        factor *= (capacity / price.at.kib) ** price.at.exponent
    if price.at.mhz is not None:
        factor *= price.at.mhz / machine.clock_mhz
    return Band(price.energy_lo * factor, price.energy * factor, price.energy_hi * factor)


def event_width(event: str, machine: Machine) -> int:
    """Bits that one event moves or clocks; for `cycles`, the lanes of the whole array.

    >>> from sim.arch.machine import load_machine
    >>> event_width("narrow_adds", load_machine("edge")), event_width("requant_terms", load_machine("edge"))
    (22, 46)
    """
    words = dict.fromkeys(("act_reads", "act_writes", "weight_reads", "weight_writes"), machine.lanes)
    accumulators = dict.fromkeys(("wide_adds", "acc_reads", "acc_writes"), machine.acc_bits)
    partial = int(log2(machine.lanes)) + machine.max_bits_w + machine.max_bits_a
    special = {"narrow_adds": partial, "lane_adds": lane_sum_bits(machine), "requant_terms": machine.requant_bits,
               "cycles": machine.rows * machine.columns * machine.lanes}
    return (words | accumulators | special).get(event, 1)


def event_capacity_kib(event: str, machine: Machine) -> float | None:
    """Capacity of the memory that an event reads or writes [KiB]; None if it touches none.

    >>> from sim.arch.machine import load_machine
    >>> event_capacity_kib("act_reads", load_machine("edge")), event_capacity_kib("acc_reads", load_machine("edge"))
    (16.0, 0.25)
    """
    bits = {"acc": machine.acc_depth * machine.acc_bits, "act": machine.region_words * machine.lanes,
            "weight": 2 * machine.weight_words * machine.lanes}
    memory, _, access = event.partition("_")
    return bits[memory] / 8192 if access in ("reads", "writes") else None
