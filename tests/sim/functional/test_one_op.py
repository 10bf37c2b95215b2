"""The reference of one op: exact against Python's integers, and one sentence for what it cannot compute."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest

from sim.errors import InputError
from sim.functional.one_op import Requantizer, accumulate, operands, requantize

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_sums_are_products_of_operands(groups):
    """The sums are those of the codes under each window, whatever the groups."""
    codes, weights = RNG.integers(-99, 99, (2, 4, 5, 6)), RNG.integers(-9, 9, (4, 4 // groups, 3, 2))
    window = {"stride": (2, 1), "padding": (1, 0, 2, 1), "dilation": (1, 2), "zero_point": 7}
    under = operands(codes, (3, 2), **window)
    whole = np.zeros((4, 4, 3, 2), np.int64)
    for output in range(4):
        first = output // (4 // groups) * (4 // groups)
        whole[output, first : first + 4 // groups] = weights[output]
    found = accumulate(codes, weights, groups=groups, **window)
    assert np.array_equal(found, np.einsum("nyxijc,ocij->noyx", under, whole))


@pytest.mark.parametrize("rounding", ["half_up", "half_even", "floor"])
def test_codes_are_rounded_exactly(rounding):
    """Wide multipliers and shifts give what fractions give, ties included."""
    acc = np.concatenate([RNG.integers(-1 << 31, 1 << 31, 200), np.arange(-40, 40)]).reshape(1, 1, 8, -1)
    for multiplier, shift in ((1, 1), (3, 2), ((1 << 28) - 1, 40), (-5, 3)):
        found = requantize(acc, multiplier, shift, 6, low=-500, high=500, zero_point=3, rounding=rounding)
        exact = [Fraction(6 + multiplier * int(a), 1 << shift) for a in acc.flat]
        rounded = [{"half_up": floor(v + Fraction(1, 2)), "half_even": round(v), "floor": floor(v)}[rounding]
                   for v in exact]
        assert found.ravel().tolist() == [min(500, max(-500, v + 3)) for v in rounded]


def test_what_does_not_fit_is_said():
    """Sums beyond the accumulator, totals beyond 63 bits, shapes and types."""
    codes, weights = np.full((1, 1, 1, 2), 100), np.full((1, 1, 1, 2), 100)
    with pytest.raises(InputError, match=r"^sums reach 0\.\.20000, beyond an accumulator of 15 bits; set wrap if the "
                                         r"hardware wraps$"):
        accumulate(codes * [[[[0, 0]]], [[[1, 1]]]], weights, acc_bits=15)
    with pytest.raises(InputError, match=r"^weights must have 1 channels of the input, not 2$"):
        accumulate(codes, np.ones((1, 2, 1, 1), int))
    with pytest.raises(InputError, match=r"^the window's height is 2, more than the 1 of the padded map$"):
        accumulate(codes, np.ones((1, 1, 2, 1), int))
    with pytest.raises(TypeError, match=r"^codes must be integers, not float64$"):
        accumulate(codes * 1.0, weights)
    with pytest.raises(InputError, match=r"^v may reach \d+; it must stay below 2\*\*62$"):
        requantize(np.full((1, 1, 1, 1), 1 << 30), 1 << 40, 1, low=0, high=1)
    with pytest.raises(InputError, match=r"^shift must be in 0\.\.62, not 63\.\.63$"):
        Requantizer(1, 63, 0, 0, 1)
