"""Fitting real scales: the stated error holds everywhere, and the integers suit a Program."""

from dataclasses import replace
from fractions import Fraction
from math import floor, inf, nextafter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.lowering.requantizer_fit import FittedRequant, Target, accumulator_range, fit
from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import digit_counts, multipliers

HALF = Fraction(1, 2)


def real_map(scale: float, bias: float, acc: int, residual_scale: float = 0.0, residual: int = 0) -> Fraction:
    """The wanted code for an accumulator and a residual counted from their zeros."""
    return Fraction(scale) * acc + Fraction(bias) + Fraction(residual_scale) * residual


def fitted_map(found: FittedRequant, channel: int, acc: int, residual: int = 0) -> Fraction:
    """The code before rounding for raw accumulators and residuals."""
    m = int(multipliers(found.multiplier)[channel])
    r = int(multipliers(found.residual_multiplier)[channel])
    return Fraction(int(found.offset[channel]) + m * acc + r * residual, 1 << int(found.shift[channel]))


def clamped(value: Fraction, target: Target) -> Fraction:
    """To where codes change, without the zero point, as the maps above; in the middle if there is one code alone."""
    low, high = target.low - target.zero_point, target.high - target.zero_point
    return min(max(value, low + HALF), high - HALF) if low < high else Fraction(low)


def code(value: Fraction, target: Target) -> int:
    """Rounded half up."""
    return min(max(floor(value + HALF), target.low - target.zero_point), target.high - target.zero_point)


targets = st.builds(
    lambda bits, zero, wide, window, terms: Target(
        zero % (1 << bits), 0, (1 << bits) - 1, Arithmetic(wide, window, terms)),
    st.integers(1, 8), st.integers(0, 255), st.integers(12, 32), st.integers(2, 12), st.integers(1, 4))
scales = st.one_of(st.floats(-0.5, 0.5), st.floats(-20, 20), st.floats(-1e-6, 1e-6),
                   st.integers(-12, 3).map(lambda e: 2.0**e), st.just(0.0))
biases = st.one_of(st.floats(-300, 300), st.integers(-9, 9).map(lambda k: k / 2))
ranges = st.tuples(st.integers(-40000, 40000), st.integers(0, 40000))
residuals = st.builds(lambda bits, signed, zero: Format(bits, "signed" if signed else "unsigned",
                                                        zero % (1 << bits) - (1 << (bits - 1) if signed else 0)),
                      st.integers(1, 8), st.booleans(), st.integers(0, 255))


@given(scales, biases, ranges, st.integers(-5000, 5000), targets, st.none() | residuals, scales, st.data())
@settings(deadline=None, max_examples=150)
def test_error_bounds_the_distance_of_the_maps_and_codes_are_right_beyond(
        scale: float, bias: float, start_length: tuple[int, int], zero: int, target: Target, residual: Format | None,
        residual_scale: float, data: st.DataObject) -> None:
    """Over the whole proved range and all residual codes: real and fitted maps differ by at most `error` where codes
    change, and codes differ only where the real map is within 2.25 times that of an edge."""
    low, high = start_length[0], start_length[0] + start_length[1]
    try:
        found = fit([scale], bias, (low, high), target, acc_zero=zero, residual_scale=residual_scale, residual=residual)
    except InputError:
        return
    ends = [end - target.zero_point - Fraction(bias) for end in (target.low - HALF, target.high + HALF)]
    edges = [zero + round(end / Fraction(scale)) + d for end in ends for d in (-1, 0, 1)] if scale else []
    near = st.sampled_from([low, high, *(edge for edge in edges if low <= edge <= high)])
    fmt = residual or Format(1, "unsigned")
    for _ in range(4):
        acc = data.draw(near | st.integers(low, high))
        added = data.draw(st.sampled_from([fmt.low, fmt.high]) | st.integers(fmt.low, fmt.high)) if residual else 0
        real = real_map(scale, bias, acc - zero, residual_scale, added - fmt.zero_point if residual else 0)
        fitted, error = fitted_map(found, 0, acc, added), Fraction(nextafter(found.error[0], inf))
        assert abs(clamped(real, target) - clamped(fitted, target)) <= error
        if code(real, target) != code(fitted, target):
            assert abs(real - (round(clamped(real, target) - HALF) + HALF)) <= Fraction(9, 4) * error


@given(st.lists(st.tuples(scales, biases), min_size=1, max_size=4), targets, st.none() | residuals, scales)
@settings(deadline=None, max_examples=200)
def test_a_program_takes_the_result(maps: list[tuple[float, float]], target: Target, residual: Format | None,
                                    residual_scale: float) -> None:
    """Whatever is not refused has digits, shifts and offsets that a Program accepts."""
    channels, source = len(maps), Format(2, "signed")
    weights = np.ones((channels, 1, 1, 1), np.int8)
    try:
        found = fit(*zip(*maps, strict=True), accumulator_range(weights, source), target,
                    residual_scale=residual_scale, residual=residual)
    except InputError:
        return
    tensors = [Tensor("a", 1, 1, (1,), source),
               Tensor("b", 1, 1, (channels,), Format(8, "unsigned", target.zero_point))]
    if residual:
        tensors.append(Tensor("r", 1, 1, (channels,), residual))
    conv = Conv("c", "a", "b", weights, Format(2, "signed"), found.multiplier, found.shift, found.offset,
                target.low, target.high, residual="r" if residual else None,
                residual_multiplier=found.residual_multiplier)
    Program(tuple(tensors), (conv,), target.arithmetic)


@given(st.lists(st.integers(-30, 11), min_size=1, max_size=5), st.floats(-100, 100), targets)
@settings(deadline=None)
def test_powers_of_two_take_one_digit(exponents: list[int], bias: float, target: Target) -> None:
    """Power-of-two scales have one digit at most, and only the offset is rounded, at the largest n that holds it."""
    wide = replace(target, arithmetic=Arithmetic(terms=target.arithmetic.terms))
    found = fit([2.0**e for e in exponents], bias, (-1000, 1000), wide)
    assert digit_counts(found.multiplier).max(initial=0) <= 1
    for channel, exponent in enumerate(exponents):
        if digit_counts(found.multiplier)[channel]:
            slope = Fraction(int(multipliers(found.multiplier)[channel]), 1 << int(found.shift[channel]))
            assert slope == Fraction(2) ** exponent
            shift = min(11 - exponent, 43)
            while round(abs(Fraction(bias)) * 2**shift) >= 2**43:
                shift -= 1
            assert found.error[channel] <= 2.0 ** -(shift + 1)


@given(st.floats(0.001, 2), st.integers(2, 8))
@settings(deadline=None)
def test_digits_are_the_fewest(scale: float, bits: int) -> None:
    """The digits found keep the tolerance, up to the rounding of the offset; one less would not."""
    def digits_and_error(terms: int) -> tuple[int, float]:
        target = Target(0, 0, (1 << bits) - 1, Arithmetic(32, 12, terms))
        found = fit([scale], 0.0, (0, 1000), target)
        return found.multiplier.shape[1], float(found.error[0])

    needed, error = digits_and_error(4)
    tolerance = 0.25 if bits > 2 else 0.125
    if needed < 4:
        assert error <= tolerance + 2.0**-10
    if 1 < needed < 4:
        assert digits_and_error(needed - 1)[1] > tolerance


@pytest.mark.parametrize("hard", range(4))
def test_the_channel_that_needs_most_digits_decides_wherever_it_stands(hard: int) -> None:
    """The others keep what they need, and errors stay within the tolerance."""
    target = Target(0, 0, 15, Arithmetic(32, 12, 4))
    scales = np.full(4, 0.125)
    scales[hard], scales[hard - 1] = 0.7, 0.6
    found, alone = (fit(scale, 0.5, (-1000, 1000), target) for scale in (scales, scales[hard:hard + 1]))
    assert digit_counts(found.multiplier).max() == digit_counts(alone.multiplier)[0] == 3
    assert digit_counts(found.multiplier)[hard - 2] == 1
    assert found.error.max() <= 0.25 + 2.0**-4


@given(st.floats(0.001, 2), st.floats(-3, 3))
@settings(deadline=None)
def test_two_codes_take_one_digit_and_are_always_right(scale: float, bias: float) -> None:
    """There is one edge, and beta puts it where it belongs, up to the rounding of the offset."""
    target = Target(0, 0, 1, Arithmetic(32, 12, 4))
    found = fit([scale], bias, (-1000, 1000), target)
    assert found.multiplier.shape[1] <= 1
    for acc in (*range(-20, 20), -1000, 1000):
        real = real_map(scale, bias, acc)
        if abs(real - HALF) > 2.0**-10:
            assert code(fitted_map(found, 0, acc), target) == code(real, target)


@pytest.mark.parametrize(("scale", "residual_scale"), [(0.67, 0.67), (0.67, -0.335), (0.1, 0.8)])
def test_multipliers_of_a_sum_may_share_a_factor(scale: float, residual_scale: float) -> None:
    """Ratios of a power of two are exact with one digit each: then the error is that of the span of the codes alone,
    1 code of either side at 2 bits, though accumulator and residual reach over hundreds of codes."""
    target = Target(0, 0, 3, Arithmetic(32, 12, 1))
    found = fit([scale], 0.3, (-1000, 1000), target, residual_scale=residual_scale, residual=Format(8, "signed"))
    slope = Fraction(int(multipliers(found.multiplier)[0]), 1 << int(found.shift[0]))
    assert multipliers(found.residual_multiplier)[0] / multipliers(found.multiplier)[0] == residual_scale / scale
    assert found.error[0] == pytest.approx(float(abs(slope / Fraction(scale) - 1)), abs=2.0**-9)
    assert found.error[0] > 0.2


def test_offset_stays_below_its_limit() -> None:
    """A bias whose offset would be exactly the limit costs a bit of shift."""
    found = fit([0.875], 256.0, (-300, 0), Target(0, 0, 15, Arithmetic(acc_bits=8, window=4, terms=4)))
    assert abs(found.offset[0]) < 2**11
    assert found.shift[0] < 3


def test_offset_takes_the_zero_points_out_exactly() -> None:
    """Shifting the zero of accumulator and residual changes the offset by exactly -M * acc_zero - R * r_zero."""
    target = Target(0, 0, 15, Arithmetic(32, 12, 4))
    plain = fit([0.3], 0.2, (-50, 50), target, residual_scale=0.7, residual=Format(4, "signed"))
    moved = fit([0.3], 0.2, (-50 + 17, 50 + 17), target, acc_zero=17, residual_scale=0.7,
                residual=Format(4, "unsigned", 8))
    assert np.array_equal(multipliers(plain.multiplier), multipliers(moved.multiplier))
    expected = plain.offset - 17 * multipliers(plain.multiplier) - 8 * multipliers(plain.residual_multiplier)
    assert moved.shift == plain.shift
    assert moved.offset == expected


@pytest.mark.parametrize(("scale", "bias", "code"), [(0.01, -20.0, 3), (0.01, 40.0, 9), (-0.01, 40.0, 9)])
def test_channels_that_always_clamp_are_constant(scale: float, bias: float, code: int) -> None:
    """A map that stays outside the clamp becomes that end: no digit, no shift, no error."""
    found = fit([scale], bias, (-100, 100), Target(2, 3, 9, Arithmetic(32, 12, 4)))
    assert found.multiplier.shape == (1, 0)
    assert (found.shift[0], found.offset[0] + 2, found.error[0]) == (0, code, 0.0)


def test_scale_zero_keeps_the_bias() -> None:
    """A constant channel inside the clamp keeps its real bias, so that rounding happens where it always does."""
    found = fit([0.0, 0.0], [2.25, 3.0], (-100, 100), Target(0, 0, 15, Arithmetic(32, 12, 4)))
    assert found.multiplier.shape == (2, 0)
    assert [Fraction(int(o), 1 << int(n)) for o, n in zip(found.offset, found.shift, strict=True)] == [2.25, 3]


def test_steep_scales_become_thresholds() -> None:
    """A scale at which no integer accumulator lies between the clamps still switches at the right place."""
    found = fit([100.0], -250.0, (-10, 10), Target(0, 0, 1, Arithmetic(32, 12, 4)))
    codes = [min(max(int(fitted_map(found, 0, acc) + HALF), 0), 1) for acc in (1, 2, 3, 4)]
    assert codes == [0, 0, 1, 1]


def test_a_residual_widens_the_interval() -> None:
    """An accumulator far beyond the clamp matters when the residual can bring it back."""
    target = Target(0, 0, 15, Arithmetic(32, 12, 1))
    alone = fit([0.7], 0.0, (-1000, 1000), target)
    joined = fit([0.7], 0.0, (-1000, 1000), target, residual_scale=1.0, residual=Format(8, "signed"))
    assert joined.error[0] > 10 * alone.error[0]


def test_worst_channel_has_the_largest_error() -> None:
    """The report points at the channel that one digit serves worst: 1.5 times a power of two."""
    found = fit([0.25, 0.375, 0.26], 0.5, (-1000, 1000), Target(0, 0, 15, Arithmetic(32, 12, 1)))
    assert found.worst_channel == 1
    assert found.error[0] == 0.0


@given(st.lists(st.integers(-128, 127), min_size=1, max_size=6), residuals)
def test_accumulator_range_is_reached(weights: list[int], source: Format) -> None:
    """Both ends of the range are sums of codes, and no code could push a product further."""
    low, high = accumulator_range(np.array([weights]), source)
    products = [sorted((w * source.low, w * source.high)) for w in weights]
    assert (low[0], high[0]) == (sum(p[0] for p in products), sum(p[1] for p in products))


@given(st.one_of(st.floats(2049, 1e12), st.floats(-1e12, -2049)), st.integers(-10**6, 10**6), st.floats(-300, 300),
       st.sampled_from([(0, 0, 255), (-3, -8, 7), (1, 0, 1)]).map(lambda codes: Target(*codes, Arithmetic())))
@settings(deadline=None)
def test_steps_that_are_next_to_nothing_give_the_right_codes(scale: float, place: int, code_there: float,
                                                             target: Target) -> None:
    """A map steeper than the largest multiplier has one accumulator between the first and the last code at most: that
    one and those beside it, and the ends of the range, get their codes, with one digit."""
    bias = code_there - scale * place
    found = fit([scale], bias, (-2**20, 2**20), target)
    assert found.multiplier.shape[1] <= 1
    for acc in (-2**20, place - 1, place, place + 1, 2**20):
        assert code(fitted_map(found, 0, acc), target) == code(real_map(scale, bias, acc), target)


@pytest.mark.parametrize(("scale", "bias", "residual_scale", "acc_range", "message"), [
    ([0.1, np.nan], 0.0, 0.0, (0, 9), "channel 1: scale must be finite, not nan"),
    ([0.1], np.inf, 0.0, (0, 9), "channel 0: bias must be finite, not inf"),
    ([0.1], 0.0, -np.inf, (0, 9), "channel 0: residual scale must be finite, not -inf"),
    ([0.1, -2100.0], 0.0, 0.0, (-9, 0), "channel 1: scale must be at most 2**11 in magnitude, not -2100"),
    ([0.1], 0.0, 1e12, (0, 9), "channel 0: residual scale must be at most 2**34 in magnitude, not 1e+12"),
    ([0.1], 0.0, 0.0, (9, 0), "channel 0: accumulator range must not be empty, not 9..0"),
    ([2.0**10], -1.5e13, 0.0, (10**10, 2 * 10**10),
     "channel 0: the offset for bias -1.5e+13 does not stay below 2**43, even without a shift"),
])
def test_impossible_maps_are_refused(scale: list[float], bias: float, residual_scale: float,
                                     acc_range: tuple[int, int], message: str) -> None:
    """What cannot be fitted is refused with the channel, the limit and the number."""
    with pytest.raises(InputError) as caught:
        fit(scale, bias, acc_range, Target(0, 0, 255, Arithmetic(32, 12, 4)), residual_scale=residual_scale,
            residual=Format(8, "unsigned"))
    assert str(caught.value) == message
