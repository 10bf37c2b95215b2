"""Orders of energy that hold wherever in their bands prices lie."""

import numpy as np
import pytest

from sim.cost.robustness import energy_difference, energy_order
from sim.energy.model import EnergyRange


def random_prices(rng: np.random.Generator) -> dict[str, EnergyRange]:
    return {name: EnergyRange(*np.sort(rng.uniform(0, 9, 3)).tolist()) for name in "abcd"}


@pytest.mark.parametrize("seed", range(20))
def test_an_order_is_certain_if_no_corner_of_the_bands_turns_it(seed: int) -> None:
    """All corners of the box of prices, tried one by one, agree with the bounds of the difference."""
    rng = np.random.default_rng(seed)
    prices = random_prices(rng)
    first, second = ({name: int(count) for name, count in zip("abcd", rng.integers(0, 9, 4), strict=True)}
                     for _ in range(2))
    ends = np.array([[prices[name].low_pj, prices[name].high_pj] for name in "abcd"])
    corners = [ends[np.arange(4), [corner >> k & 1 for k in range(4)]] for corner in range(16)]
    more = np.array([second[name] - first[name] for name in "abcd"])
    differences = [float(more @ corner) for corner in corners]
    found = energy_difference(first, second, prices)
    assert (found.low_pj, found.high_pj) == pytest.approx((min(differences), max(differences)))
    order = energy_order({"first": first, "second": second}, prices)
    less, more_of = order.names
    turned = [difference if less == "first" else -difference for difference in differences]
    assert (order.uncertain == ()) == (min(turned) > 0)
    assert (less == "first") == (found.nominal_pj >= 0)
    assert more_of != less


def test_bands_that_overlap_need_not_leave_an_order_open() -> None:
    """Twice the events cost more at any price, although the band of the one overlaps that of the other."""
    prices = {"a": EnergyRange(1.0, 2.0, 10.0)}
    assert energy_order({"much": {"a": 2}, "little": {"a": 1}}, prices).names == ("little", "much")
    assert energy_order({"much": {"a": 2}, "little": {"a": 1}}, prices).uncertain == ()
    assert energy_order({"one": {"a": 1}, "other": {"a": 1}}, prices).uncertain == (("one", "other"),)
