"""Budgets that are no sum over layers, such as power and energy times delay: each as a sum that keeps it.

They hold wherever the sums do, in exact arithmetic: entries are rounded up to floats. Energies are those of the high
end of the band.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import floor, sqrt
from sys import float_info
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.bits.allocation import Choice
from quant.bits.bounds import at_least, at_most
from sim.cost.table import CostTable

__all__ = ["SafeSum", "energy", "energy_delay", "frames_per_second", "power"]

Exact = NDArray[Any]
"""Of Fractions, shape (layers, weights, activations)."""
EDP_LIMIT = 2.0
"""Of the sum that bounds the product of energy and delay."""
MOST_CYCLES = 2**53
"""Of a whole network: up to here floats are exact."""


@dataclass(frozen=True, eq=False)
class SafeSum:
    """A sum that keeps a budget.

    Attributes
    ----------
    costs : float64 array, shape (layers, weights, activations)
    limit : float
        Of the sum.
    value : callable
        Gives the smallest budget for which the sum of a choice would be within its limit.
    """

    costs: NDArray[np.float64]
    limit: float
    value: Callable[[Choice], Fraction]


def energy(table: CostTable, limit_mj: float) -> SafeSum:
    """Return the sum of energies [pJ]."""
    energies = _with_fixed(table.energy_high_pj, table.fixed_energy_high_pj)

    def value(choice: Choice) -> Fraction:
        return _sum(energies, choice) / 10**9

    return SafeSum(_rounded_up(energies), at_most(min(Fraction(limit_mj) * 10**9, Fraction(float_info.max))), value)


def power(table: CostTable, limit_mw: float) -> SafeSum:
    """Return a sum that is at most 0 where power keeps a limit [mW].

    Energy is at most that of the table, and time at least that in which steps are issued, since Convs run one after
    another. With p the limit in pJ per cycle, energy - p * cycles <= 0 is such a sum.
    """
    per_cycle = Fraction(limit_mw) * 1000 / Fraction(table.clock_mhz)
    energies, cycles = _with_fixed(table.energy_high_pj, table.fixed_energy_high_pj), _exact(table.least_cycles)

    def value(choice: Choice) -> Fraction:
        return _sum(energies, choice) * Fraction(table.clock_mhz) / (1000 * (_sum(cycles, choice) or Fraction(1)))

    return SafeSum(_rounded_up(energies - per_cycle * cycles), 0.0, value)


def energy_delay(table: CostTable, limit_mj_ms: float) -> SafeSum:
    """Return a sum that is at most 2 where the product of energy and delay keeps a limit [mJ ms].

    For any energy e and time t whose product is the limit, E / e + T / t <= 2 makes E * T at most the limit, since the
    geometric mean of E / e and T / t is at most their mean. E / e and T / t are equal where E / T is e / t, which is
    chosen between those of the widest and the narrowest bits; a factor of 1.3 from there costs less than one percent.
    """
    clock = Fraction(table.clock_mhz)
    energies = _with_fixed(table.energy_high_pj, table.fixed_energy_high_pj)
    cycles = _with_fixed(table.cycles, table.fixed_cycles)
    limit = Fraction(limit_mj_ms) * 10**12 * clock
    ratio = Fraction(sqrt(float(_ratio(energies, cycles, 0) * _ratio(energies, cycles, -1))))
    times = Fraction(sqrt(float(limit / ratio)))
    units = energies / (limit / times) + cycles / times

    def value(choice: Choice) -> Fraction:
        return Fraction(limit_mj_ms) * (_sum(units, choice) / 2) ** 2

    return SafeSum(_rounded_up(units), EDP_LIMIT, value)


def frames_per_second(table: CostTable, limit: float) -> SafeSum:
    """Return a sum of cycles whose limit leaves at least so many images per second."""
    per_second = 10**6 * Fraction(table.clock_mhz)
    cycles = _with_fixed(table.cycles, table.fixed_cycles)

    def value(choice: Choice) -> Fraction:
        return per_second / _sum(cycles, choice)

    most = floor(min(per_second / Fraction(limit), Fraction(MOST_CYCLES)))
    return SafeSum(cycles.astype(np.float64), float(most), value)


def _with_fixed(table: NDArray[np.number], fixed: float) -> Exact:
    """Return exact numbers; what is fixed falls to the first layer."""
    exact = _exact(table)
    exact[0] += Fraction(fixed)
    return exact


def _exact(table: NDArray[np.number]) -> Exact:
    exact: Exact = np.array([Fraction(entry) for entry in np.ravel(table).tolist()], dtype=np.object_)
    return exact.reshape(table.shape)


def _rounded_up(exact: Exact) -> NDArray[np.float64]:
    return np.array([at_least(entry) for entry in exact.ravel()]).reshape(exact.shape)


def _sum(exact: Exact, choice: Choice) -> Fraction:
    return sum((exact[layer, w, a] for layer, (w, a) in enumerate(choice.tolist())), Fraction(0))


def _ratio(energies: Exact, cycles: Exact, index: int) -> Fraction:
    """Return energy over time of one pair of bits for all layers."""
    return Fraction(sum(energies[:, index, index]), max(sum(cycles[:, index, index]), 1))
