"""The second operand of a Conv: how it spreads over the output, and what its product with the sum may reach."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sim.ir.signed_digits import Digits

__all__ = ["Broadcast", "largest_sums", "residual_shape"]

Broadcast = Literal["none", "map", "channel"]
"""`map`: one code for each channel serves all pixels. `channel`: one code for each pixel serves all channels."""


def residual_shape(broadcast: Broadcast, channels: int, height: int, width: int) -> tuple[int, int, int]:
    """Return the shape (channels, height, width) of a residual whose Conv writes the shape given.

    >>> residual_shape("map", 16, 7, 7), residual_shape("channel", 16, 7, 7)
    ((16, 1, 1), (1, 7, 7))
    """
    match broadcast:
        case "none":
            return channels, height, width
        case "map":
            return channels, 1, 1
        case "channel":
            return 1, height, width


def largest_sums(multiplier: Digits, residual_multiplier: Digits, shift: NDArray[np.int64], offset: NDArray[np.int64],
                 gate: int, magnitudes: tuple[int, int]) -> list[int]:
    """Return what no prefix of a gated requantizer's sum exceeds in magnitude, for every channel.

    It adds up the magnitudes of all terms: every digit of M times the accumulator, every digit of R times the residual,
    their product shifted left by `gate`, the offset, and the half unit that rounding adds.

    Parameters
    ----------
    multiplier, residual_multiplier : Digits, shape (channels, terms)
    shift, offset : int64 arrays, shape (channels,)
    gate : int, at least 0
    magnitudes : (int, int)
        Largest magnitude of the accumulator and of the residual.

    Examples
    --------
    M = 4 - 1, no R, n = 1 and an offset of -2:

    >>> largest_sums(np.array([[3, -1]], np.int8), np.zeros((1, 0), np.int8), np.array([1]), np.array([-2]), 0, (15, 7))
    [183]
    """
    acc, residual = magnitudes
    product = acc * residual << gate
    rows = zip(_magnitudes(multiplier), _magnitudes(residual_multiplier), shift.tolist(), offset.tolist(), strict=True)
    return [acc * m + residual * r + product + abs(constant) + (1 << n >> 1) for m, r, n, constant in rows]


def _magnitudes(digits: Digits) -> list[int]:
    """Add up the powers of two of all digits of each channel."""
    return [sum(1 << (abs(digit) - 1) for digit in row if digit) for row in digits.tolist()]
