"""From a real scale to the requantizer's integers.

Per channel the wanted map is

    code = s * (acc - acc_zero) + s_res * (r - r_zero) + b + z_out

with everything real already in units of an output code. It is replaced by

    (M * (acc - acc_zero) + R * (r - r_zero) + beta) / 2**n + z_out

where M and R are sums of few signed powers of two. Codes change where the map crosses an edge between two of them, so
the error counts from the first edge to the last, for accumulators in their proved range and all residual codes; beyond,
the output is clamped. Within this part the error is a linear function of accumulator and residual, and beta puts its
zero half way between its ends. A residual adds to the accumulator there, so that M and R may well be wrong by a common
factor: it changes the sum by no more than it changes the span of the output's codes.

All decisions are made in exact rational arithmetic: the same floats give the same integers everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from math import floor, frexp, isfinite, ldexp

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quant.lowering.steep import no_steeper
from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.signed_digits import Digits, digits_of, multiplier, nearest_digits

__all__ = ["FittedRequant", "Target", "accumulator_range", "fit", "usual_tolerance"]


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
        Largest distance between the real and the fitted map, before rounding, between the first and the last edge
        between two codes [codes]. A value further than 2.25 times that from all edges has the right code.
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
        tolerance: float | None = None) -> FittedRequant:
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
    tolerance : float, optional
        Error that digits must not exceed [codes], by default that of `usual_tolerance`. Rounding the offset adds at
        most 2**-(n+1). If no number of digits up to `target.arithmetic.terms` is enough, all are spent and `error`
        tells.

    Raises
    ------
    InputError
        If a scale or bias is not finite, or so large that n would be negative; without a residual only where the output
        has more codes than half of the steepest multiplier.

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
    fitted = _fewest_digits(channels, _budgets(target.arithmetic.terms, residual is not None), target,
                            usual_tolerance(target) if tolerance is None else tolerance)
    return FittedRequant(
        digits_of([one.digits for one in fitted]), digits_of([one.residual_digits for one in fitted]),
        np.array([one.shift for one in fitted], np.int64), np.array([one.offset for one in fitted], np.int64),
        np.array([float(one.error) for one in fitted]))


def usual_tolerance(target: Target) -> float:
    """Return the error that digits must not exceed unless told otherwise [codes].

    It is 1/4, and 1/8 where there are only four codes or three. With two codes one digit decides exactly, unless there
    is a residual; then 1/256 takes digits of the residual's multiplier alone, and hardly a code differs.
    """
    edges = target.high - target.low
    return 2.0**-8 if edges <= 1 else 0.125 if edges <= 3 else 0.25


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


Point = tuple[Fraction, Fraction]
"""An accumulator and a residual, each counted from its zero."""


@dataclass(frozen=True)
class _Channel:
    """A channel whose output varies, or, with `constant`, always is that code without the zero point.

    `edges` are the corners of where the map is between the first and the last edge between two codes; `around` those of
    where it is within half a code of the output's range.
    """

    number: int
    scale: float
    residual_scale: float
    zeros: tuple[int, int]
    bias: float
    edges: list[Point]
    around: list[Point]
    constant: int | None

    def fitted(self, terms: int, residual_terms: int, target: Target) -> _Fitted:
        """Return the integers with at most so many digits, at the largest n whose offset is in range."""
        if self.constant is not None:
            return _Fitted([], [], 0, self.constant, Fraction(0), Fraction(0))
        for shift in range(self.largest_shift(target), -1, -1):
            found = [self._with_offset(*pair, shift) for pair in self._pairs(terms, residual_terms, shift, target)]
            best = min(found, key=lambda one: one.slope_error)
            if abs(best.offset) < 1 << (target.arithmetic.offset_bits - 1):
                return best.reduced()
        raise InputError(f"channel {self.number}: the offset for bias {self.bias:g} does not stay below "
                         f"2**{target.arithmetic.offset_bits - 1}, even without a shift")

    def _pairs(self, terms: int, residual_terms: int, shift: int, target: Target) -> list[tuple[list[int], list[int]]]:
        """Return digits of M and R next to both scales, or next to one of them, with the other wrong by its factor."""
        windows = target.arithmetic.window, target.arithmetic.residual_window
        wanted = ldexp(self.scale, shift), ldexp(self.residual_scale, shift)
        first, second = (nearest_digits(*of) for of in zip(wanted, (terms, residual_terms), windows, strict=True))
        pairs = [(first, second)]
        if first and second:
            m, r = multiplier(first), multiplier(second)
            pairs.append((first, nearest_digits(self.residual_scale * (m / self.scale), residual_terms, windows[1])))
            like = self.scale * (r / self.residual_scale)
            if abs(like) < 2.0 ** windows[0]:
                pairs.append((nearest_digits(like, terms, windows[0]), second))
        return pairs

    def _with_offset(self, digits: list[int], residual_digits: list[int], shift: int) -> _Fitted:
        m, r = multiplier(digits), multiplier(residual_digits)
        slopes = (Fraction(self.scale) - Fraction(m, 1 << shift),
                  Fraction(self.residual_scale) - Fraction(r, 1 << shift))
        flat = bool((self.scale and not m) or (self.residual_scale and not r))  # then more than the edges can be wrong
        errors = [slopes[0] * acc + slopes[1] * residual for acc, residual in (self.around if flat else self.edges)]
        low, high = min(errors), max(errors)
        wanted = Fraction(self.bias) + (low + high) / 2
        beta = floor(wanted * (1 << shift) + Fraction(1, 2))
        slope_error = (high - low) / 2
        return _Fitted(digits, residual_digits, shift, beta - m * self.zeros[0] - r * self.zeros[1], slope_error,
                       slope_error + abs(wanted - Fraction(beta, 1 << shift)))

    def largest_shift(self, target: Target) -> int:
        """Return the n that puts the first digit of M at the top of the window, less if R or the offset do not fit."""
        shift = target.arithmetic.offset_bits - 1
        for what, scale, window in (("scale", self.scale, target.arithmetic.window),
                                    ("residual scale", self.residual_scale, target.arithmetic.residual_window)):
            if scale:
                shift = min(shift, window - 1 - _ceil_log2(scale))
            if shift < 0:
                raise InputError(f"channel {self.number}: {what} must be at most 2**{window - 1} in magnitude, "
                                 f"not {scale:g}")
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
    if residual is None:
        codes = target.low - target.zero_point, target.high - target.zero_point
        scale, bias = no_steeper(scale, bias, codes, 2.0 ** (target.arithmetic.window - 1),
                                 floors=target.arithmetic.rounding == "floor")
    low, high, zero = (residual.low, residual.high, residual.zero_point) if residual else (0, 0, 0)
    box = _Box(scale, residual_scale if residual else 0.0, (acc_low - acc_zero, acc_high - acc_zero),
               (low - zero, high - zero))
    least, most = (Fraction(code) - target.zero_point - Fraction(bias) for code in (target.low, target.high))
    half, later = Fraction(1, 2), Fraction(target.arithmetic.rounding == "floor", 2)
    edges = box.between(least + half + later, most - half + later)
    constant = None
    if not edges:
        below = box.least < least + half + later
        constant = (target.low if below else target.high) - target.zero_point
    return _Channel(number, scale, box.residual_scale, (acc_zero, zero), bias, edges,
                    box.between(least - half, most + half), constant)


@dataclass(frozen=True)
class _Box:
    """Accumulators and residuals, each counted from its zero, and what the map makes of them without the bias."""

    scale: float
    residual_scale: float
    acc: tuple[int, int]
    residual: tuple[int, int]

    @property
    def least(self) -> Fraction:
        """The smallest value of the map."""
        return sum((min(Fraction(scale) * end for end in ends) for scale, ends in (
            (self.scale, self.acc), (self.residual_scale, self.residual))), Fraction(0))

    def between(self, low: Fraction, high: Fraction) -> list[Point]:
        """Return the corners of the part of the box in which the map is in low..high, none if that is empty."""
        scale, residual_scale = Fraction(self.scale), Fraction(self.residual_scale)
        found = [(acc, Fraction(residual)) for residual in self.residual for acc in _cut(
            scale, self.acc, low - residual_scale * residual, high - residual_scale * residual)]
        found += [(Fraction(acc), residual) for acc in self.acc for residual in _cut(
            residual_scale, self.residual, low - scale * acc, high - scale * acc)]
        return list(dict.fromkeys(found))


def _cut(scale: Fraction, ends: tuple[int, int], low: Fraction, high: Fraction) -> list[Fraction]:
    """Return the ends of the part of an interval in which scale * x is in low..high, none if that is empty."""
    first, last = Fraction(ends[0]), Fraction(ends[1])
    if scale:
        bounds = sorted((low / scale, high / scale))
        first, last = max(first, bounds[0]), min(last, bounds[1])
    elif not low <= 0 <= high:
        return []
    return [first, last] if first <= last and low <= high else []


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
