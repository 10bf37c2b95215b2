"""Whether choices stay in their order of energy wherever in their bands the prices of events really lie.

The bands of two totals may overlap although one choice needs less than the other at any prices: both are paid at the
same ones. So the difference is bounded, event by event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from math import fsum

from sim.energy.model import EnergyRange

__all__ = ["EnergyOrder", "energy_difference", "energy_order"]

Counts = Mapping[str, float]


@dataclass(frozen=True)
class EnergyOrder:
    """Choices by rising nominal energy.

    Attributes
    ----------
    names : tuple of str
    uncertain : tuple of (str, str)
        Pairs of them that prices inside the bands can put in the other order.
    """

    names: tuple[str, ...]
    uncertain: tuple[tuple[str, str], ...]


def energy_difference(first: Counts, second: Counts, prices: Mapping[str, EnergyRange]) -> EnergyRange:
    """Return how much more energy `second` needs than `first`, at every price in its band [pJ].

    Parameters
    ----------
    first, second : mapping of str to float
        How often each event happens; those that are left out do not.
    prices : mapping of str to EnergyRange
        Of every event, as `sim.energy.model.prices` gives them.

    Examples
    --------
    >>> energy_difference({"a": 3}, {"a": 1, "b": 2}, {"a": EnergyRange(1, 2, 3), "b": EnergyRange(2, 3, 4)})
    EnergyRange(low_pj=-2.0, nominal_pj=2.0, high_pj=6.0)
    """
    more = {event: second.get(event, 0) - first.get(event, 0) for event in prices}
    return EnergyRange(
        fsum(count * (prices[event].low_pj if count > 0 else prices[event].high_pj) for event, count in more.items()),
        fsum(count * prices[event].nominal_pj for event, count in more.items()),
        fsum(count * (prices[event].high_pj if count > 0 else prices[event].low_pj) for event, count in more.items()))


def energy_order(choices: Mapping[str, Counts], prices: Mapping[str, EnergyRange]) -> EnergyOrder:
    """Return the order of some choices, and which pairs of it prices inside the bands can turn around.

    Parameters
    ----------
    choices : mapping of str to counts of events
    prices : mapping of str to EnergyRange
    """
    def nominal(name: str) -> float:
        return energy_difference({}, choices[name], prices).nominal_pj

    names = tuple(sorted(choices, key=nominal))
    uncertain = tuple((less, more) for less, more in combinations(names, 2)
                      if energy_difference(choices[less], choices[more], prices).low_pj <= 0)
    return EnergyOrder(names, uncertain)
