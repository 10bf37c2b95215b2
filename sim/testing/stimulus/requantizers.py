"""Draw requantizers: the plainest, and random ones whose outputs cover their range, with exact ties and both clamps."""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

import numpy as np
from numpy.typing import NDArray

from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.signed_digits import Digits, digits_of, multiplier, nearest_digits

__all__ = ["RequantParameters", "RequantizerLimits", "limited_requantizer", "plain_requantizer", "random_requantizer"]

RequantParameters = tuple[Digits, Digits, NDArray[np.int64], NDArray[np.int64]]
"""(M, R, n, offset), a row or number for every channel."""


@dataclass(frozen=True)
class RequantizerLimits:
    """What the requantizer of a machine can hold.

    Attributes
    ----------
    multiplier_bits : int
        |M| < 2**multiplier_bits.
    negative_multipliers, powers_of_two : bool
        Whether M may be negative, and whether it must be a power of two.
    most_shift : int
        n is in 0..most_shift.
    offset_bits : int
        Width of a signed offset [bits]; 0: there is none.
    before_multiplier : bool
        The offset is added to the sum: what counts is M times it.
    per_channel : bool
        Each channel has an M and an n of its own, beside its offset.
    """

    multiplier_bits: int
    most_shift: int
    offset_bits: int
    negative_multipliers: bool = False
    powers_of_two: bool = False
    before_multiplier: bool = False
    per_channel: bool = True


def limited_requantizer(rng: np.random.Generator, acc: NDArray[np.int64], output: Format,
                        limits: RequantizerLimits) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Draw M, n and the offset of every channel within limits, fitted to the sums that occur.

    Parameters
    ----------
    acc : int64 array, shape (channels, samples)
    output : Format
    limits : RequantizerLimits

    Returns
    -------
    three int64 arrays, shape (channels,)
        Offsets as they are added: to the sum if `limits.before_multiplier`, else to the product.
    """
    rows = acc if limits.per_channel else acc.reshape(1, -1)
    scales = [_limited_scale(rng, row, output, limits) for row in rows]
    found = [(m, n, _limited_offset(rng, sums, m, n, output, limits))
             for (m, n), sums in zip(scales * (len(acc) // len(scales)), acc, strict=True)]
    m, n, offset = (np.array(column, np.int64) for column in zip(*found, strict=True))
    return m, n, offset


def _limited_scale(rng: np.random.Generator, sums: NDArray[np.int64], output: Format,
                   limits: RequantizerLimits) -> tuple[int, int]:
    """Draw M and n: the product covers half to three times the range of the output, where n can be as large."""
    width = int(rng.integers(1, limits.multiplier_bits + 1))
    m = 1 << (width - 1) if limits.powers_of_two else int(rng.integers(1 << (width - 1), 1 << width))
    if limits.negative_multipliers and rng.random() < 0.3:
        m = -m
    span = (output.high - output.low + 1) * 2 ** rng.uniform(-1, 1.5)
    shift = round(log2((int(np.ptp(sums)) * abs(m) + 1) / span))
    return m, min(max(shift, 0), limits.most_shift)


def _limited_offset(rng: np.random.Generator, sums: NDArray[np.int64], m: int, n: int, output: Format,
                    limits: RequantizerLimits) -> int:
    """Draw an offset that puts the sums into the output range, with one of them on an exact tie where that can be."""
    if not limits.offset_bits:
        return 0
    limit, span = (1 << (limits.offset_bits - 1)) - 1, output.high - output.low + 1
    wanted = (output.high + output.low) // 2 - output.zero_point + round(float(rng.uniform(-0.5, 0.5)) * span)
    scaled = (wanted << n) - int(np.median(sums)) * m
    unit, period, rest = 1, 1 << n, int(rng.choice(sums)) * m - (1 << n >> 1)
    if limits.before_multiplier:
        scaled, (unit, period, rest) = round(scaled / m), _solved(m, n, int(rng.choice(sums)))
    if n and unit and rng.random() < 0.9:
        scaled -= (scaled + rest) % period
        scaled += period * -(-max(-limit - scaled, 0) // period)
        scaled -= period * -(-max(scaled - limit, 0) // period)
    return min(max(scaled, -limit), limit)


def _solved(m: int, n: int, acc: int) -> tuple[int, int, int]:
    """Solve M (acc + b) = 2**(n - 1) modulo 2**n: is there a b, its period, and rest with b + rest = 0 modulo that."""
    twos = (m & -m).bit_length() - 1
    if twos >= n:
        return 0, 1, 0
    period = 1 << (n - twos)
    return 1, period, (acc - (period >> 1) * pow(m >> twos, -1, period)) % period


def plain_requantizer(channels: int, residual: bool) -> RequantParameters:
    """Make the requantizer that gives the sum itself: M = 1, and R = 1 with a residual.

    >>> [part.tolist() for part in plain_requantizer(2, residual=False)]
    [[[1], [1]], [[], []], [0, 0], [0, 0]]
    """
    ones, zeros = [[1]] * channels, np.zeros(channels, np.int64)
    return digits_of(ones), digits_of(ones if residual else [[]] * channels), zeros, zeros


def random_requantizer(rng: np.random.Generator, acc: NDArray[np.int64], residual: NDArray[np.int64] | None,
                       output: Format, arithmetic: Arithmetic, most: tuple[int, int],
                       gate: int | None = None) -> RequantParameters:
    """Draw a requantizer that is fitted to the sums that occur.

    Parameters
    ----------
    acc, residual : int64 arrays, shape (channels, samples)
        Sums (wrapped if the Program wraps) and the residual codes beside them.
    output : Format
    arithmetic : Arithmetic
    most : (int, int)
        Most digits of M and of R.
    gate : int or None
        The product of both is added as well, shifted left by this.
    """
    rows: list[list[int]] = []
    residual_rows: list[list[int]] = []
    shifts, offsets = [], []
    for channel, sums in enumerate(acc):
        row = _random_digits(rng, most[0], arithmetic.window)
        scaled = sums * multiplier(row)
        if residual is not None and gate is not None:
            scaled = scaled + (sums * residual[channel] << gate)
        shift = _random_shift(rng, scaled, output, arithmetic)
        residual_row: list[int] = []
        if residual is not None and arithmetic.residual_window > 0:
            span = int(np.ptp(residual[channel])) + 1
            wanted = rng.uniform(-1, 1) * 2.0**shift * (output.high - output.low + 1) / span
            limit = 2.0 ** (arithmetic.residual_window - 1)
            residual_row = nearest_digits(min(max(wanted, -limit), limit), most[1], arithmetic.residual_window)
            scaled = scaled + residual[channel] * multiplier(residual_row)
        rows.append(row)
        residual_rows.append(residual_row)
        shifts.append(shift)
        offsets.append(_random_offset(rng, scaled, shift, output, arithmetic))
    return (digits_of(rows), digits_of(residual_rows), np.array(shifts, np.int64), np.array(offsets, np.int64))


def _random_digits(rng: np.random.Generator, most: int, window: int) -> list[int]:
    """Up to `most` digits; none once in ten times."""
    count = min(int(rng.integers(1, most + 1)), window) if most and rng.random() < 0.9 else 0
    top = int(rng.integers(count, window + 1))
    exponents = sorted(rng.choice(top, count, replace=False).tolist() if count else [], reverse=True)
    return [int(rng.choice([-1, 1])) * (exponent + 1) for exponent in exponents]


def _random_shift(rng: np.random.Generator, scaled: NDArray[np.int64], output: Format, arithmetic: Arithmetic) -> int:
    """Draw a shift that spreads `scaled` over half to three times the output range; sometimes 0 or anything."""
    if rng.random() < 0.05:
        return 0
    if rng.random() < 0.05:
        return int(rng.integers(0, arithmetic.offset_bits))
    span = (output.high - output.low + 1) * 2 ** rng.uniform(-1, 1.5)
    return min(max(round(log2((int(np.ptp(scaled)) + 1) / span)), 0), arithmetic.offset_bits - 1)


def _random_offset(rng: np.random.Generator, scaled: NDArray[np.int64], shift: int, output: Format,
                   arithmetic: Arithmetic) -> int:
    """Draw an offset that puts the sums into the output range, usually with one of them on an exact tie."""
    limit = (1 << (arithmetic.offset_bits - 1)) - 1
    if rng.random() < 0.04:
        return int(rng.choice([-limit, limit]))
    span = output.high - output.low + 1
    wanted = (output.high + output.low) // 2 - output.zero_point + round(float(rng.uniform(-0.5, 0.5)) * span)
    offset = (wanted << shift) - int(np.median(scaled))
    if shift and rng.random() < 0.8:
        half = 1 << (shift - 1)
        offset += (half - offset - int(rng.choice(scaled))) % (1 << shift)
    return min(max(offset, -limit), limit)
