"""From a real scale to the requantizer's integers.

Per channel the wanted map is

    code = s * (acc - acc_zero) + s_res * (r - r_zero) + b + z_out

with everything real already in units of an output code. It is replaced by

    (M * (acc - acc_zero) + R * (r - r_zero) + beta) / 2**n + z_out

where M and R are sums of few signed powers of two. Only accumulators that matter count: the reachable interval is the
proved range of the accumulator, cut to where some residual code brings the wanted map to within half a code of
low..high. Beyond it the output is clamped. beta makes the error zero in the middle of the interval (and of the
residual's range), so that it grows to |s - M/2**n| times half the interval at the ends, and likewise for the residual.

All decisions are made in exact rational arithmetic: the same floats give the same integers everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from math import floor, frexp, isfinite, ldexp

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.signed_digits import Digits, digits_of, multiplier, nearest_digits

__all__ = ["FittedRequant", "Target", "accumulator_range", "fit"]


@dataclass(frozen=True)
class Target:
    """What the integers may be, and where they lead.

    Parameters
    ----------
    zero_point, low, high : int
        Of the output: its zero point and its clamp [codes].
    arithmetic : Arithmetic
        Of the Program: it bounds n, the offset, the exponents and the number of digits.
    """

    zero_point: int
    low: int
    high: int
    arithmetic: Arithmetic


@dataclass(frozen=True, eq=False)
class FittedRequant:
    """Integers of a fitted requantizer, ready for a Conv, and how far they are from the real map.

    Attributes
    ----------
    multiplier, residual_multiplier : Digits, shape (channels, digits)
        M and R; R has no columns without a residual.
    shift, offset : int64 arrays, shape (channels,)
        n and the constant part of the sum.
    error : float64 array, shape (channels,)
        Largest distance between the clamped real and the clamped fitted map, before rounding [codes].
    """

    multiplier: Digits
    residual_multiplier: Digits
    shift: NDArray[np.int64]
    offset: NDArray[np.int64]
    error: NDArray[np.float64]

    @property
    def worst_channel(self) -> int:
        """The channel with the largest error."""
        return int(self.error.argmax())


def accumulator_range(weights: NDArray[np.integer], source: Format) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the smallest and largest sum that codes of `source` can make, shape (channels,) each.

    Parameters
    ----------
    weights : integer array, shape (channels, ...)
        What the weight codes mean (`Conv.weight_values`).
    source : Format
        Of the input.

    Examples
    --------
    >>> accumulator_range(np.array([[3, -2]]), Format(2, "unsigned"))
    (array([-6]), array([9]))
    """
    flat = weights.reshape(len(weights), -1)
    positive = np.maximum(flat, 0).sum(axis=1, dtype=np.int64)
    negative = flat.sum(axis=1, dtype=np.int64) - positive
    return positive * source.low + negative * source.high, positive * source.high + negative * source.low


def fit(scale: ArrayLike, bias: ArrayLike, acc_range: tuple[ArrayLike, ArrayLike], target: Target, *,
        acc_zero: ArrayLike = 0, residual_scale: ArrayLike = 0.0, residual: Format | None = None,
        tolerance: float = 0.25) -> FittedRequant:
    """Fit every channel with the fewest digits, the same number for all, that keep the error within `tolerance`.

    Parameters
    ----------
    scale : float64 array, shape (channels,)
        s: output codes per unit of the accumulator; of either sign, 0 for a constant channel.
    bias : array-like, shape (channels,) or ()
        b: what remains at acc = acc_zero and r = r_zero, without z_out [codes].
    acc_range : (low, high), integer arrays, shape (channels,) or ()
        Raw accumulators that can occur, as from `accumulator_range`.
    target : Target
    acc_zero : integer array-like, shape (channels,) or ()
        The accumulator that means 0: z_in * sum(w). Taken out exactly.
    residual_scale : array-like, shape (channels,) or ()
        s_res: output codes per code of the residual.
    residual : Format or None
        Of the residual; its zero point is r_zero, taken out exactly.
    tolerance : float
        Error at the ends of the interval that digits must not exceed [codes]. Rounding the offset adds at most
        2**-(n+1). If no number of digits up to `target.arithmetic.terms` is enough, all are spent and `error` tells.

    Raises
    ------
    InputError
        If a scale or bias is not finite, or so large that n would be negative.

    Examples
    --------
    For 4-bit codes a scale of 0.7 takes three digits; 1/8 is a power of two and takes one.

    >>> from sim.ir.signed_digits import multipliers
    >>> target = Target(0, 0, 15, Arithmetic(acc_bits=32, window=12, terms=4))
    >>> found = fit([0.7, 0.125], [0.5, 0.5], (-1000, 1000), target)
    >>> multipliers(found.multiplier), found.shift, found.offset, found.worst_channel
    (array([11,  1]), array([4, 3]), array([10,  4]), 0)
    """
    rows = zip(*(column.tolist() for column in np.broadcast_arrays(
        np.asarray(scale, np.float64), np.asarray(bias, np.float64), np.asarray(residual_scale, np.float64),
        np.asarray(acc_range[0], np.int64), np.asarray(acc_range[1], np.int64), np.asarray(acc_zero, np.int64))),
        strict=True)
    channels = [_channel(number, row, residual, target) for number, row in enumerate(rows)]
    fitted = _fewest_digits(channels, _budgets(target.arithmetic.terms, residual is not None), target, tolerance)
    return FittedRequant(
        digits_of([one.digits for one in fitted]), digits_of([one.residual_digits for one in fitted]),
        np.array([one.shift for one in fitted], np.int64), np.array([one.offset for one in fitted], np.int64),
        np.array([float(one.error) for one in fitted]))


def _budgets(terms: int, residual: bool) -> list[tuple[int, int]]:
    """Return the digits that M and R may have, fewest together first: an output takes that many cycles."""
    if not residual:
        return [(t, 0) for t in range(1, terms + 1)]
    pairs = product(range(1, terms + 1), range(1, terms + 1))
    return sorted(pairs, key=lambda pair: (sum(pair), pair))


@dataclass(frozen=True)
class _Fitted:
    """Integers of one channel and their error; `slope_error` is the part that digits can mend [codes]."""

    digits: list[int]
    residual_digits: list[int]
    shift: int
    offset: int
    slope_error: Fraction
    error: Fraction

    def reduced(self) -> _Fitted:
        """Return the same map without the power of two that M, R, the offset and 2**n share."""
        exponents = [abs(digit) - 1 for digit in self.digits + self.residual_digits]
        if self.offset:
            exponents.append((self.offset & -self.offset).bit_length() - 1)
        common = min([self.shift, *exponents])
        return replace(self, digits=[_lowered(digit, common) for digit in self.digits],
                       residual_digits=[_lowered(digit, common) for digit in self.residual_digits],
                       shift=self.shift - common, offset=self.offset >> common)


@dataclass(frozen=True)
class _Operand:
    """One summand of the map: its scale [codes per unit], the integer that means 0, and where it matters."""

    scale: float
    zero: int
    low: Fraction
    high: Fraction

    @property
    def middle(self) -> Fraction:
        """Centre of the interval, counted from the zero."""
        return (self.low + self.high) / 2 - self.zero

    @property
    def reach(self) -> Fraction:
        """Half the length of the interval."""
        return (self.high - self.low) / 2

    def slope_error(self, multiplier: int, shift: int) -> Fraction:
        """Return the relative error of multiplier / 2**shift."""
        return Fraction(self.scale) - Fraction(multiplier, 1 << shift)


@dataclass(frozen=True)
class _Channel:
    """A channel whose output varies, or, with `constant`, always is that code without the zero point."""

    number: int
    acc: _Operand
    residual: _Operand
    bias: float
    constant: int | None

    def fitted(self, terms: int, residual_terms: int, target: Target) -> _Fitted:
        """Return the integers with at most so many digits, at the largest n whose offset is in range."""
        if self.constant is not None:
            return _Fitted([], [], 0, self.constant, Fraction(0), Fraction(0))
        for shift in range(self.largest_shift(target), -1, -1):
            digits = nearest_digits(ldexp(self.acc.scale, shift), terms, target.arithmetic.window)
            other = nearest_digits(ldexp(self.residual.scale, shift), residual_terms, target.arithmetic.residual_window)
            m, r = multiplier(digits), multiplier(other)
            acc_error, residual_error = self.acc.slope_error(m, shift), self.residual.slope_error(r, shift)
            wanted = Fraction(self.bias) + acc_error * self.acc.middle + residual_error * self.residual.middle
            beta = floor(wanted * (1 << shift) + Fraction(1, 2))
            offset = beta - m * self.acc.zero - r * self.residual.zero
            if abs(offset) < 1 << (target.arithmetic.offset_bits - 1):
                slope = abs(acc_error) * self.acc.reach + abs(residual_error) * self.residual.reach
                error = slope + abs(wanted - Fraction(beta, 1 << shift))
                return _Fitted(digits, other, shift, offset, slope, error).reduced()
        raise InputError(f"channel {self.number}: the offset for bias {self.bias:g} does not stay below "
                         f"2**{target.arithmetic.offset_bits - 1}, even without a shift")

    def largest_shift(self, target: Target) -> int:
        """Return the n that puts the first digit of M at the top of the window, less if R or the offset do not fit."""
        shift = target.arithmetic.offset_bits - 1
        for what, operand, window in (("scale", self.acc, target.arithmetic.window),
                                      ("residual scale", self.residual, target.arithmetic.residual_window)):
            if operand.scale:
                shift = min(shift, window - 1 - _ceil_log2(operand.scale))
            if shift < 0:
                raise InputError(f"channel {self.number}: {what} must be at most 2**{window - 1} in magnitude, "
                                 f"not {operand.scale:g}")
        return shift


def _channel(number: int, row: tuple[float, float, float, int, int, int], residual: Format | None,
             target: Target) -> _Channel:
    """Find where the accumulator of a channel matters."""
    scale, bias, residual_scale, acc_low, acc_high, acc_zero = row
    for what, value in (("scale", scale), ("bias", bias), ("residual scale", residual_scale)):
        if not isfinite(value):
            raise InputError(f"channel {number}: {what} must be finite, not {value}")
    if acc_low > acc_high:
        raise InputError(f"channel {number}: accumulator range must not be empty, not {acc_low}..{acc_high}")
    if acc_low == acc_high == acc_zero:
        scale = 0.0  # a channel of zeros: whatever its scale is, it need not fit
    ends = (residual.low, residual.high, residual.zero_point) if residual else (0, 0, 0)
    other = _Operand(residual_scale if residual else 0.0, ends[2], Fraction(ends[0]), Fraction(ends[1]))
    reach = sorted(Fraction(other.scale) * (end - other.zero) for end in (other.low, other.high))
    constant = Fraction(bias) + target.zero_point
    lower = target.low - Fraction(1, 2) - reach[1] - constant
    upper = target.high + Fraction(1, 2) - reach[0] - constant
    values = sorted(Fraction(scale) * (acc - acc_zero) for acc in (acc_low, acc_high))
    if values[1] < lower or values[0] > upper:
        code = target.low if values[1] < lower else target.high
        return _Channel(number, other, other, bias, code - target.zero_point)
    low, high = Fraction(acc_low), Fraction(acc_high)
    if scale:
        cut = sorted(acc_zero + bound / Fraction(scale) for bound in (lower, upper))
        low, high = max(low, cut[0]), min(high, cut[1])
    return _Channel(number, _Operand(scale, acc_zero, low, high), other, bias, None)


def _ceil_log2(value: float) -> int:
    """Return the smallest e with |value| <= 2**e."""
    mantissa, exponent = frexp(abs(value))
    return exponent - 1 if mantissa == 0.5 else exponent


def _lowered(digit: int, exponents: int) -> int:
    return digit - exponents if digit > 0 else digit + exponents


def _fewest_digits(channels: list[_Channel], budgets: list[tuple[int, int]], target: Target,
                   tolerance: float) -> list[_Fitted]:
    """Return all channels fitted with the first budget that keeps them within `tolerance`, or else with the last.

    A channel that refutes a budget is asked first about the next: most budgets fall at the first question.
    """
    hardest = 0
    for budget in budgets[:-1]:
        if channels and channels[hardest].fitted(*budget, target).slope_error > tolerance:
            continue
        fitted: list[_Fitted] = []
        for place, channel in enumerate(channels):
            fitted.append(channel.fitted(*budget, target))
            if fitted[-1].slope_error > tolerance:
                hardest = place
                break
        else:
            return fitted
    return [channel.fitted(*budgets[-1], target) for channel in channels]
