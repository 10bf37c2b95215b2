"""The requantizer against Python's integers and fractions."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.functional.requantize import (
    FLOOR,
    HALF_EVEN,
    HALF_UP,
    ROUNDING_MODES,
    requantize,
    requantize_maps,
    round_shift,
    wrap,
)

EXACT = {HALF_UP: lambda x: floor(x + Fraction(1, 2)), HALF_EVEN: round, FLOOR: floor}
"""What each mode means for a rational number."""

modes = st.sampled_from(sorted(EXACT))
shifts = st.integers(0, 50)


@st.composite
def near_ties(draw: st.DrawFn) -> tuple[int, int]:
    """(value, shift) with the value on a tie, beside one, or anywhere within 53 bits."""
    shift = draw(shifts)
    quotient = draw(st.integers(-(2**52 >> shift), (2**52 >> shift) - 1))
    tie = (quotient << shift) + ((1 << shift) >> 1)
    return draw(st.one_of(st.integers(-1, 1).map(lambda d: tie + d), st.integers(-(2**52), 2**52))), shift


@given(near_ties(), modes)
def test_round_shift_rounds_the_exact_quotient(value_shift: tuple[int, int], mode: int) -> None:
    """The result is the rounding of the exact rational number, negative numbers and ties included."""
    value, shift = value_shift
    assert round_shift(value, shift, mode) == EXACT[mode](Fraction(value, 1 << shift))


@pytest.mark.parametrize(("name", "halves"), [
    ("half_up", [-1, 0, 1, 2]), ("half_even", [-2, 0, 0, 2]), ("floor", [-2, -1, 0, 1]),
])
def test_modes_by_name(name: str, halves: list[int]) -> None:
    """-1.5, -0.5, 0.5 and 1.5 tell the three modes apart."""
    assert [round_shift(v, 1, ROUNDING_MODES[name]) for v in (-3, -1, 1, 3)] == halves


@given(st.integers(-(2**61), 2**61), st.integers(1, 62))
def test_wrap_is_the_signed_remainder(value: int, bits: int) -> None:
    """The result differs by a multiple of 2**bits and has `bits` bits."""
    result = wrap(value, bits)
    assert (value - result) % 2**bits == 0
    assert -(2 ** (bits - 1)) <= result < 2 ** (bits - 1)


@given(st.lists(st.integers(-(2**40), 2**40), max_size=8), st.integers(2, 32))
def test_wrapping_the_sum_equals_wrapping_every_step(products: list[int], bits: int) -> None:
    """Wrapping once at the end is what a narrow accumulator does on the way, in any order."""
    narrow = 0
    for product in reversed(products):
        narrow = wrap(narrow + product, bits)
    assert wrap(sum(products), bits) == narrow


codes = st.integers(-128, 127)


@given(st.integers(-(2**31), 2**31 - 1), codes, st.integers(-4095, 4095), st.integers(-(2**20), 2**20),
       st.sampled_from([0, 1, 2, 2**11]), st.integers(-(2**42), 2**42), st.integers(0, 43), modes, codes,
       st.tuples(codes, codes).map(sorted))
def test_requantize_is_the_formula(acc: int, residual: int, m: int, r: int, gate: int, offset: int, shift: int,
                                   mode: int, zero: int, ends: list[int]) -> None:
    """Sum, rounding, zero point and clamp, in this order."""
    exact = EXACT[mode](Fraction(offset + m * acc + r * residual + gate * acc * residual, 1 << shift)) + zero
    assert requantize(acc, residual, m, r, gate, offset, shift, mode, zero, *ends) == min(max(exact, ends[0]), ends[1])


def test_extremes_stay_within_53_bits() -> None:
    """With acc_bits 32 and window 19, the largest operands of every kind give exact results."""
    acc, m, offset, r, code = -(2**31), 2**19 - 1, -(2**50) + 1, -(2**41), 255
    for shift in (0, 1, 50):
        exact = EXACT[HALF_UP](Fraction(offset + m * acc + r * code, 1 << shift))
        assert requantize(acc, code, m, r, 0, offset, shift, HALF_UP, 0, -(2**62), 2**62) == exact


@pytest.mark.parametrize("mode", sorted(EXACT))
def test_maps_are_requantized_channel_by_channel(mode: int) -> None:
    """Whole maps equal the scalar rule, with wrapped sums, with and without a residual and a gate."""
    rng = np.random.default_rng(mode)
    shape = (2, 3, 4, 5)
    acc = rng.integers(-(2**20), 2**20, shape)
    residual = rng.integers(-8, 8, shape).astype(np.int32)
    m, r, offset = rng.integers(-50, 50, (3, 3))
    shift = rng.integers(0, 12, 3)
    for other, gate in ((residual, 0), (residual, 4), (np.zeros((0, 0, 0, 0), np.int32), 0)):
        out = np.empty(shape, np.int32)
        requantize_maps(acc, 16, other, m, r, gate, offset, shift, mode, 3, -(2**21), 2**21, out)
        for n, o, y, x in np.ndindex(shape):
            code = int(other[n, o, y, x]) if other.size else 0
            expected = requantize(wrap(int(acc[n, o, y, x]), 16), code, int(m[o]), int(r[o]), gate, int(offset[o]),
                                  int(shift[o]), mode, 3, -(2**21), 2**21)
            assert out[n, o, y, x] == expected
