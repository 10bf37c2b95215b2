"""Multipliers as sums of signed powers of two, the only multiplication the requantizer has.

A digit +-2**e is stored as the int8 `+-(e + 1)`; 0 means no digit. A row of digits is ordered from the largest
exponent to the smallest, absent digits last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log2

import numpy as np
from numpy.typing import NDArray

__all__ = ["Digits", "digit_counts", "digits_of", "multiplier", "multipliers", "nearest_digits", "no_digits"]

Digits = NDArray[np.int8]
"""Shape (channels, terms): `+-(e + 1)` for a digit +-2**e, 0 for none."""


def no_digits(channels: int) -> Digits:
    """Return the digits of `channels` multipliers that are all zero.

    >>> no_digits(2).shape
    (2, 0)
    """
    return np.zeros((channels, 0), np.int8)


def multipliers(digits: Digits) -> NDArray[np.int64]:
    """Return the integers that `digits` stand for, shape (channels,).

    >>> multipliers(np.array([[4, -1], [0, 0]], np.int8))
    array([7, 0])
    """
    exponents = np.abs(digits.astype(np.int64)) - 1
    powers = np.where(digits == 0, 0, np.int64(1) << np.maximum(exponents, 0))
    return np.asarray((np.sign(digits) * powers).sum(axis=1), np.int64)


def multiplier(digits: Iterable[int]) -> int:
    """Return the integer that the digits of one channel stand for.

    >>> multiplier([4, -1])
    7
    """
    return sum((digit > 0) - (digit < 0) << (abs(digit) - 1) for digit in digits if digit)


def digits_of(rows: Sequence[Sequence[int]]) -> Digits:
    """Return rows of digits, one for each channel, as one array: as wide as the longest.

    >>> digits_of([[4, -1], [], [2]]).tolist()
    [[4, -1], [0, 0], [2, 0]]
    """
    digits = np.zeros((len(rows), max(map(len, rows), default=0)), np.int8)
    for line, row in zip(digits, rows, strict=True):
        line[: len(row)] = row
    return digits


def digit_counts(digits: Digits) -> NDArray[np.int64]:
    """Count the digits that each channel uses, shape (channels,)."""
    return np.asarray(np.count_nonzero(digits, axis=1), np.int64)


def nearest_digits(value: float, terms: int, window: int) -> list[int]:
    """Choose signed digits of `value` greedily: each the power of two nearest to what is left, ties to the smaller.

    Parameters
    ----------
    value : float
        The multiplier wanted, |value| < 2**window.
    terms : int
        Most digits to spend.
    window : int
        Exponents are 0..window - 1.

    Returns
    -------
    list of int
        At most `terms` codes `+-(e + 1)` with falling, distinct e; empty when `value` rounds to 0.

    Examples
    --------
    >>> nearest_digits(7.0, 2, 12)
    [4, -1]
    >>> nearest_digits(0.4, 4, 12)
    []
    """
    digits: list[int] = []
    rest, below = value, window
    while len(digits) < terms and abs(rest) > 0.5:
        exponent = max(int(np.floor(log2(abs(rest)))), 0)
        if abs(rest) - 2.0**exponent > 2.0 ** (exponent + 1) - abs(rest):
            exponent += 1
        exponent = min(exponent, below - 1)
        if exponent < 0:
            break
        digits.append(exponent + 1 if rest > 0 else -(exponent + 1))
        rest -= 2.0**exponent if rest > 0 else -(2.0**exponent)
        below = exponent
    return digits
