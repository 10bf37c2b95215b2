"""Points of a space: their order, their numbers, and orders that look random."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitwright.explore.points import Points, shuffled
from bitwright.explore.space import Space
from sim.errors import InputError


def test_points_are_all_combinations_in_order():
    """Of values, and of ways to choose bits, which change fastest; numbers and places follow from each other."""
    space = Space.model_validate({"networks": ({"network": "a", "bits": (2, 4)}, {"network": "b", "bits": (3, 5, 8)}),
                                  "machine": {"rows": (8, 16), "columns": "rows // 2", "lanes": (64, 32, 16)}})
    points = Points(space)
    wanted = [({"rows": rows, "lanes": lanes}, (first, second))
              for rows, lanes, first, second in product((8, 16), (64, 32, 16), range(2), range(3))]
    assert [(points[number].parameters, points[number].choices) for number in range(len(points))] == wanted
    assert [points[number].machine for number in range(len(points))] == [number // 6 for number in range(36)]
    assert [points.number(points.coordinates(number)) for number in range(36)] == [*range(36)]


@given(st.integers(0, 300), st.integers(0, 2**32 - 1))
def test_shuffled_numbers_are_all_numbers(count, seed):
    """Each of them once."""
    assert sorted(shuffled(count, seed)) == [*range(count)]


def test_seeds_give_other_orders():
    """And what comes first is anywhere in a space that no memory could hold."""
    orders = {tuple(shuffled(20, seed)) for seed in range(20)}
    assert len(orders) == 20
    first = [number for number, _ in zip(shuffled(10**15, 0), range(1000), strict=False)]
    assert len({number * 10 // 10**15 for number in first}) == 10


def test_too_large_a_space_is_refused():
    """With its size."""
    names = ["rows", "columns", "lanes", "acc_depth", "weight_words"]
    space = Space.model_validate({"networks": ({"network": "a"},),
                                  "machine": {name: {"from": 1, "to": 10_000, "step": 1} for name in names}})
    with pytest.raises(InputError, match=r"^a space has at most 1e\+18 points, not 1e\+20$"):
        Points(space)
