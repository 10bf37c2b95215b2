"""The requantizer: from an accumulator to a code. The only place in `sim` that rounds, wraps or clamps.

    v   = offset + M * acc + R * r + (acc * r << g)
    out = min(high, max(low, round_shift(v, n) + zero_out))

With the ranges that a Program guarantees, v and all its prefixes fit 53 bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.ir.formats import Rounding
from sim.jit.compiled_loop import compiled

__all__ = ["FLOOR", "HALF_EVEN", "HALF_UP", "ROUNDING_MODES", "requantize", "requantize_maps", "round_shift", "wrap",
           "wrap_maps"]

HALF_UP = 0
HALF_EVEN = 1
FLOOR = 2
ROUNDING_MODES: dict[Rounding, int] = {"half_up": HALF_UP, "half_even": HALF_EVEN, "floor": FLOOR}
"""The number by which compiled code knows a rounding."""


@compiled
def wrap(value: int, acc_bits: int) -> int:
    """Reduce `value` modulo 2**acc_bits to a signed number of `acc_bits` bits, 1..62.

    >>> wrap(130, 8), wrap(-129, 8), wrap(127, 8)
    (-126, 127, 127)
    """
    half = 1 << (acc_bits - 1)
    return ((value + half) & (2 * half - 1)) - half


@compiled
def wrap_maps(acc: NDArray[np.int32], acc_bits: int) -> NDArray[np.int32]:
    """Wrap every number of an array.

    >>> wrap_maps(np.array([130, -129, 127], np.int32), 8)
    array([-126,  127,  127], dtype=int32)
    """
    out = np.empty_like(acc)
    for index, value in enumerate(acc.flat):
        out.flat[index] = wrap(int(value), acc_bits)
    return out


@compiled
def round_shift(value: int, shift: int, mode: int) -> int:
    """Divide by 2**shift and round to an integer as `mode` says.

    Parameters
    ----------
    value : int
        |value| < 2**53.
    shift : int, 0..50
        0 gives `value`.
    mode : int
        HALF_UP (ties towards +infinity), HALF_EVEN, or FLOOR.

    Examples
    --------
    >>> [round_shift(v, 1, HALF_UP) for v in (-3, -1, 1, 3)]
    [-1, 0, 1, 2]
    >>> [round_shift(v, 1, HALF_EVEN) for v in (-3, -1, 1, 3)]
    [-2, 0, 0, 2]
    >>> [round_shift(v, 1, FLOOR) for v in (-3, -1, 1, 3)]
    [-2, -1, 0, 1]
    """
    if shift == 0:
        return value
    half = 1 << (shift - 1)
    if mode == HALF_UP:
        return (value + half) >> shift
    quotient = value >> shift
    if mode == HALF_EVEN:
        rest = value - (quotient << shift)
        if rest > half or (rest == half and quotient & 1):
            return quotient + 1
    return quotient


@compiled
def requantize(acc: int, residual: int, multiplier: int, residual_multiplier: int, gate: int, offset: int, shift: int,
               mode: int, zero_out: int, low: int, high: int) -> int:
    """Output code of one accumulator.

    Parameters
    ----------
    acc, residual : int
        Accumulator, already wrapped if the Program wraps, and code of the residual (0 if none).
    multiplier, residual_multiplier : int
        M and R.
    gate : int
        2**g, by which the product of both operands counts; 0 without a gate.
    offset, shift : int
        Constant part of the sum, and n [bits].
    mode : int
        HALF_UP, HALF_EVEN or FLOOR.
    zero_out, low, high : int
        Zero point of the output and the clamp [codes].

    Examples
    --------
    >>> requantize(10, 0, 3, 0, 0, -2, 2, HALF_UP, 1, 0, 15)
    8
    >>> requantize(10, 3, 0, 0, 1, 0, 2, HALF_UP, 0, 0, 15)
    8
    """
    value = offset + (multiplier + gate * residual) * acc + residual_multiplier * residual
    return min(high, max(low, round_shift(value, shift, mode) + zero_out))


@compiled
def requantize_maps(acc: NDArray[np.int32], acc_bits: int, residual: NDArray[np.int32], multiplier: NDArray[np.int64],
                    residual_multiplier: NDArray[np.int64], gate: int, offset: NDArray[np.int64],
                    shift: NDArray[np.int64], mode: int, zero_out: int, low: int, high: int,
                    out: NDArray[np.int32]) -> None:
    """Requantize whole maps into `out`.

    Parameters
    ----------
    acc : int32 array, shape (N, O, H, W)
        Sums modulo 2**32.
    acc_bits : int
        Width to which the sums are wrapped first [bits]; sums that fit stay what they are.
    residual : int32 array, shape (N, O, H, W), or (0, 0, 0, 0) for none
        Codes.
    multiplier, residual_multiplier, offset, shift : int64 arrays, shape (O,)
        Of every channel, as in `requantize`.
    gate, mode, zero_out, low, high : int
        As in `requantize`.
    out : int32 array, shape (N, O, H, W)
        Written.
    """
    images, channels, height, width = acc.shape
    for n in range(images):
        for o in range(channels):
            for y in range(height):
                for x in range(width):
                    other = residual[n, o, y, x] if residual.size else 0
                    out[n, o, y, x] = requantize(wrap(acc[n, o, y, x], acc_bits), other, multiplier[o],
                                                 residual_multiplier[o], gate, offset[o], shift[o], mode, zero_out,
                                                 low, high)
