"""Signed digits: what they stand for, and how near they come."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.ir.signed_digits import (
    digit_counts,
    digits_of,
    multiplier,
    multipliers,
    nearest_digits,
    no_digits,
)


def value(digits: list[int]) -> int:
    """The integer that digits stand for, in Python's own arithmetic."""
    return sum((1 if d > 0 else -1) * 2 ** (abs(d) - 1) for d in digits)


@given(st.lists(st.lists(st.integers(-50, 50), min_size=4, max_size=4), min_size=1, max_size=5))
def test_multipliers_and_counts_are_those_of_python(rows: list[list[int]]) -> None:
    """A row stands for the sum of its signed powers, zeros for nothing."""
    digits = np.array(rows, np.int8)
    assert multipliers(digits).tolist() == [value([d for d in row if d]) for row in rows]
    assert [multiplier(row) for row in rows] == multipliers(digits).tolist()
    assert digit_counts(digits).tolist() == [sum(d != 0 for d in row) for row in rows]


def test_no_digits_mean_zero() -> None:
    """Rows without columns are multipliers of 0."""
    assert multipliers(no_digits(3)).tolist() == digit_counts(no_digits(3)).tolist() == [0, 0, 0]


def test_rows_of_any_length_become_one_array() -> None:
    """Short rows end in absent digits; no rows make an array of no channels."""
    assert digits_of([[], [4, -1], [-2]]).tolist() == [[0, 0], [4, -1], [-2, 0]]
    assert digits_of([[], []]).shape == (2, 0)
    assert (digits_of([]).shape, digits_of([]).dtype) == ((0, 0), np.int8)


@given(st.floats(-4095, 4095), st.integers(1, 4), st.integers(1, 12))
def test_digits_fall_and_stay_in_the_window(wanted: float, terms: int, window: int) -> None:
    """Exponents are distinct, falling and below the window; there are at most `terms`."""
    digits = nearest_digits(wanted, terms, window)
    exponents = [abs(d) - 1 for d in digits]
    assert len(digits) <= terms
    assert exponents == sorted(set(exponents), reverse=True)
    assert all(0 <= e < window for e in exponents)


@given(st.floats(-64, 64), st.integers(1, 3))
def test_greedy_digits_are_the_best(wanted: float, terms: int) -> None:
    """No other choice of as many digits comes nearer: greedy equals an exhaustive search."""
    window = 7
    every = [sum(sign * 2**e for sign, e in zip(signs, exponents, strict=True))
             for count in range(terms + 1) for exponents in combinations(range(window), count)
             for signs in product((-1, 1), repeat=count)]
    found = abs(wanted - value(nearest_digits(wanted, terms, window)))
    assert found == min(abs(wanted - v) for v in every)


@pytest.mark.parametrize(("wanted", "digits"), [
    (1.5, [1]), (3.0, [2, 1]), (6.0, [3, 2]), (0.5, []), (-0.5, []), (0.51, [1]), (-7.0, [-4, 1]), (0.0, []),
])
def test_ties_go_to_the_smaller_power(wanted: float, digits: list[int]) -> None:
    """Half-way between two powers of two, or between 0 and 1, the smaller one is taken."""
    assert nearest_digits(wanted, 2, 12) == digits


@pytest.mark.parametrize(("terms", "worst"), [(1, 1 / 3), (2, 1 / 11), (3, 1 / 43), (4, 1 / 171)])
def test_worst_relative_error(terms: int, worst: float) -> None:
    """Over an octave the relative error of 1 to 4 digits is at most 33, 9.1, 2.3 and 0.58 percent, and reaches it."""
    wanted = np.linspace(2.0**13, 2.0**14, 4001)
    errors = [abs(w - value(nearest_digits(w, terms, 15))) / w for w in wanted]
    assert 0.97 * worst < max(errors) <= worst + 1e-12
