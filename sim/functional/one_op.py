"""One layer at a time, on NumPy arrays, with the widths of any machine: sums, and what a requantizer makes of them.

This is the arithmetic of the contract, for hardware that has no Program: `accumulate` and `Requantizer` call the same
code as the simulator does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.errors import InputError
from sim.functional.loops import dense_conv, depthwise_conv
from sim.functional.requantize import ROUNDING_MODES, requantize_maps, wrap_maps
from sim.io.bounds import check_range
from sim.ir.formats import Rounding

__all__ = ["Requantizer", "accumulate", "operands", "requantize"]

Integers = NDArray[np.int64]
Codes = NDArray[np.int32]
Pair = int | tuple[int, int]
Padding = int | tuple[int, int, int, int]

EXACT_BITS = 31
"""Sums below 2**31 in magnitude are exact before they are wrapped."""
TOTAL_BITS = 62
"""Totals of a requantizer must stay below 2**62 in magnitude."""


def accumulate(codes: NDArray[np.integer], weights: NDArray[np.integer], *, stride: Pair = 1, padding: Padding = 0,
               dilation: Pair = 1, groups: int = 1, zero_point: int = 0, acc_bits: int = 32,
               wrap: bool = False) -> Codes:
    """Sum weights times codes as a convolution does.

    Parameters
    ----------
    codes : integer array, shape (N, C, H, W)
        Codes of the input, within 32 signed bits.
    weights : integer array, shape (O, C / groups, kh, kw)
        What the weight codes mean, within 32 signed bits; a linear layer has a kernel as large as the map.
    stride, dilation : int or (vertical, horizontal), at least 1
    padding : int or (top, left, bottom, right), at least 0
        Positions of it hold the code `zero_point`.
    groups : int
        Divides C and O.
    zero_point : int
        Code that means 0; nothing is subtracted from the other codes.
    acc_bits : int, 2..32
        Width of the accumulator [bits].
    wrap : bool
        Take sums modulo 2**acc_bits, signed, instead of refusing those that do not fit.

    Returns
    -------
    int32 array, shape (N, O, Ho, Wo)

    Raises
    ------
    InputError
        If shapes or ranges do not fit, or a sum does not fit in the accumulator and `wrap` is not set. Sums that might
        leave 32 bits by the magnitudes of weights and codes are refused as well.
    TypeError
        If an array is not of integers.

    Examples
    --------
    >>> accumulate(np.array([[[[1, 2, 3]]]]), np.array([[[[10, 1]]]]))[0, 0]
    array([[12, 23]], dtype=int32)
    """
    check_range(acc_bits, 2, 32, "acc_bits")
    values, kernel = _integers(codes, 4, "codes"), _integers(weights, 4, "weights")
    padded = _pad(values, padding, zero_point)
    if groups < 1 or values.shape[1] % groups or len(kernel) % groups:
        raise InputError(f"groups must divide the {values.shape[1]} channels of the input and the {len(kernel)} of "
                         f"the output, not be {groups}")
    if kernel.shape[1] * groups != values.shape[1]:
        raise InputError(f"weights must have {values.shape[1] // groups} channels of the input, not {kernel.shape[1]}")
    steps, spread = _pair(stride, "stride"), _pair(dilation, "dilation")
    _check_window(padded, kernel, spread)
    narrow = padded.astype(np.int32)
    if kernel.shape[1] == 1 and groups == len(kernel):
        sums = depthwise_conv(narrow, kernel, steps, spread)
    else:
        parts = zip(np.split(narrow, groups, axis=1), np.split(kernel, groups), strict=True)
        sums = np.concatenate([dense_conv(part, own, steps, spread) for part, own in parts], axis=1)
    if wrap:
        return wrap_maps(sums, acc_bits)
    _check_sums(sums, padded, kernel, acc_bits)
    return sums


def operands(codes: NDArray[np.integer], kernel: Pair, *, stride: Pair = 1, padding: Padding = 0, dilation: Pair = 1,
             zero_point: int = 0) -> Integers:
    """Return the codes under the window of every output pixel, as a machine reads them.

    The parameters are those of `accumulate`; `kernel` is (height, width) or both.

    Returns
    -------
    int64 array, shape (N, Ho, Wo, kh, kw, C)
        Multiplied with weights of shape (O, C, kh, kw) and summed over the last three axes it gives `accumulate`.

    Examples
    --------
    >>> operands(np.array([[[[1, 2, 3]]]]), (1, 2))[0, 0, :, 0, :, 0]
    array([[1, 2],
           [2, 3]])
    """
    values = _integers(codes, 4, "codes")
    padded, size = _pad(values, padding, zero_point), _pair(kernel, "kernel")
    (down, right), (rows, columns) = _pair(stride, "stride"), _pair(dilation, "dilation")
    _check_window(padded, np.zeros((0, 0, *size), np.int64), (rows, columns))
    extent = rows * (size[0] - 1) + 1, columns * (size[1] - 1) + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(2, 3))
    return windows[:, :, ::down, ::right, ::rows, ::columns].transpose(0, 2, 3, 4, 5, 1)


@dataclass(frozen=True, eq=False)
class Requantizer:
    """Scale sums to codes: v = offset + M * acc + R * r + gate * acc * r, rounded off by n bits and clamped.

    Parameters
    ----------
    multiplier, shift, offset : int, or integer array of shape (O,)
        M, n (0..62) and the offset, of all channels or of each.
    low, high : int
        The clamp [codes of the output].
    zero_point : int
        Of the output, added after rounding.
    rounding : {"half_up", "half_even", "floor"}
    residual_multiplier : int, or integer array of shape (O,)
        R.
    gate : int
        What the product of sum and residual counts.

    Raises
    ------
    InputError
        If a shift, the clamp or the rounding is not as above.

    Examples
    --------
    >>> requantizer = Requantizer(3, 2, 0, low=0, high=15)
    >>> requantizer(np.array([[[[1, 2, 5, 30]]]]))[0, 0]
    array([[ 1,  2,  4, 15]], dtype=int32)
    >>> requantizer.ties(np.array([[[[1, 2, 5, 30]]]]))[0, 0]
    array([[False,  True, False,  True]])
    """

    multiplier: ArrayLike
    shift: ArrayLike
    offset: ArrayLike
    low: int
    high: int
    zero_point: int = 0
    rounding: Rounding = "half_up"
    residual_multiplier: ArrayLike = 0
    gate: int = 0

    def __post_init__(self) -> None:
        for name in ("multiplier", "shift", "offset", "residual_multiplier"):
            object.__setattr__(self, name, _integers(np.atleast_1d(np.asarray(getattr(self, name))), 1, name))
        if self.rounding not in ROUNDING_MODES:
            raise InputError(f"rounding must be {', '.join(ROUNDING_MODES)}, not {self.rounding}")
        if self.low > self.high:
            raise InputError(f"low must be at most high = {self.high}, not {self.low}")
        shifts = np.asarray(self.shift)
        if shifts.min() < 0 or shifts.max() > TOTAL_BITS:
            raise InputError(f"shift must be in 0..{TOTAL_BITS}, not {int(shifts.min())}..{int(shifts.max())}")

    def __call__(self, acc: NDArray[np.integer], residual: NDArray[np.integer] | None = None) -> Codes:
        """Return the codes of some sums.

        Parameters
        ----------
        acc : integer array, shape (N, O, H, W)
            Within 32 signed bits.
        residual : integer array that broadcasts to the same shape, or None

        Returns
        -------
        int32 array, shape (N, O, H, W)

        Raises
        ------
        InputError
            If shapes do not fit, a sum is beyond 32 bits, or v could leave 63 bits.
        """
        sums, other = self._operands(acc, residual)
        self._check_totals(sums, other)
        channels = sums.shape[1]
        out = np.empty(sums.shape, np.int32)
        whole = (0, 0, 0, 0) if residual is None else sums.shape
        requantize_maps(sums.astype(np.int32), 32, np.ascontiguousarray(np.broadcast_to(other, whole), np.int32)
                        if residual is not None else np.zeros(whole, np.int32),
                        self._each(self.multiplier, channels), self._each(self.residual_multiplier, channels),
                        self.gate, self._each(self.offset, channels), self._each(self.shift, channels),
                        ROUNDING_MODES[self.rounding], self.zero_point, self.low, self.high, out)
        return out

    def totals(self, acc: NDArray[np.integer], residual: NDArray[np.integer] | None = None) -> Integers:
        """Return v of some sums, int64 of their shape."""
        sums, other = self._operands(acc, residual)
        return np.asarray(_by_channel(self.offset) + _by_channel(self.multiplier) * sums
                          + _by_channel(self.residual_multiplier) * other + self.gate * sums * other, np.int64)

    def floors(self, acc: NDArray[np.integer], residual: NDArray[np.integer] | None = None) -> Integers:
        """Return v / 2**n rounded down."""
        return np.asarray(self.totals(acc, residual) >> _by_channel(self.shift), np.int64)

    def ties(self, acc: NDArray[np.integer], residual: NDArray[np.integer] | None = None) -> NDArray[np.bool_]:
        """Tell where v lies in the middle of two codes."""
        shift = _by_channel(self.shift)
        half = (np.int64(1) << shift) >> 1
        return np.asarray((shift > 0) & (self.totals(acc, residual) % (np.int64(1) << shift) == half))

    def below(self, acc: NDArray[np.integer], residual: NDArray[np.integer] | None = None) -> NDArray[np.bool_]:
        """Tell where the clamp certainly raises the code, however v is rounded."""
        return np.asarray(self.floors(acc, residual) + self.zero_point + 1 < self.low)

    def above(self, acc: NDArray[np.integer], residual: NDArray[np.integer] | None = None) -> NDArray[np.bool_]:
        """Tell where the clamp certainly lowers the code."""
        return np.asarray(self.floors(acc, residual) + self.zero_point > self.high)

    def _operands(self, acc: NDArray[np.integer], residual: NDArray[np.integer] | None) -> tuple[Integers, Integers]:
        sums = _integers(acc, 4, "acc")
        other = np.zeros((1, 1, 1, 1), np.int64) if residual is None else _integers(residual, 4, "residual")
        if np.broadcast_shapes(sums.shape, other.shape) != sums.shape:
            raise InputError(f"residual of shape {other.shape} does not broadcast to that of acc, {sums.shape}")
        return sums, other

    def _each(self, values: ArrayLike, channels: int) -> Integers:
        found = np.asarray(values, np.int64)
        if len(found) not in (1, channels):
            raise InputError(f"a requantizer of {len(found)} channels cannot take sums of {channels}")
        return np.ascontiguousarray(np.broadcast_to(found, channels))

    def _check_totals(self, sums: Integers, other: Integers) -> None:
        low, high = int(sums.min(initial=0)), int(sums.max(initial=0))
        if low < -(1 << EXACT_BITS) or high >= 1 << EXACT_BITS:
            raise InputError(f"acc must be within 32 signed bits, not {low}..{high}")
        most, most_residual = max(-low, high), int(np.abs(other).max(initial=0))
        largest = [max(map(abs, np.asarray(values).tolist()))
                   for values in (self.multiplier, self.residual_multiplier, self.offset)]
        reach = (largest[0] * most + largest[1] * most_residual + abs(self.gate) * most * most_residual + largest[2]
                 + (1 << int(np.asarray(self.shift).max())))
        if reach >= 1 << TOTAL_BITS:
            raise InputError(f"v may reach {reach}; it must stay below 2**{TOTAL_BITS}")


def requantize(acc: NDArray[np.integer], multiplier: ArrayLike, shift: ArrayLike, offset: ArrayLike = 0, *, low: int,
               high: int, zero_point: int = 0, rounding: Rounding = "half_up",
               residual: NDArray[np.integer] | None = None, residual_multiplier: ArrayLike = 0) -> Codes:
    """Scale sums to codes, in one call; `Requantizer` has the parameters, the result and what is raised.

    >>> requantize(np.array([[[[-3, -1, 1, 3]]]]), 1, 1, low=-8, high=7)[0, 0]
    array([[-1,  0,  1,  2]], dtype=int32)
    """
    return Requantizer(multiplier, shift, offset, low, high, zero_point, rounding, residual_multiplier)(acc, residual)


def _integers(values: NDArray[np.integer], axes: int, name: str) -> Integers:
    found = np.asarray(values)
    if not np.issubdtype(found.dtype, np.integer):
        raise TypeError(f"{name} must be integers, not {found.dtype}")
    if found.ndim != axes:
        raise InputError(f"{name} must have {axes} axes, not {found.ndim}")
    return found.astype(np.int64)


def _pair(value: Pair, name: str) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else value
    if len(pair) != 2 or min(pair) < 1:
        raise InputError(f"{name} must be one or two numbers of at least 1, not {value}")
    return pair


def _pad(codes: Integers, padding: Padding, zero_point: int) -> Integers:
    sides = (padding,) * 4 if isinstance(padding, int) else padding
    if len(sides) != 4 or min(sides) < 0:
        raise InputError(f"padding must be one or four numbers of at least 0, not {padding}")
    top, left, bottom, right = sides
    return np.pad(codes, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=zero_point)


def _check_window(padded: Integers, weights: Integers, dilation: tuple[int, int]) -> None:
    for name, size, taps, step in zip(("height", "width"), padded.shape[2:], weights.shape[2:], dilation, strict=True):
        if step * (taps - 1) + 1 > size:
            raise InputError(f"the window's {name} is {step * (taps - 1) + 1}, more than the {size} of the padded map")


def _check_sums(sums: Codes, padded: Integers, weights: Integers, acc_bits: int) -> None:
    """Refuse sums that do not fit, or may have left 32 bits."""
    largest = int(np.abs(padded).max(initial=0)) * int(np.abs(weights).sum(axis=(1, 2, 3)).max(initial=0))
    if largest >= 1 << EXACT_BITS:
        raise InputError(f"sums may reach {largest}, beyond 32 bits; set wrap if the hardware wraps")
    limit = 1 << (acc_bits - 1)
    if sums.size and not -limit <= int(sums.min()) <= int(sums.max()) < limit:
        raise InputError(f"sums reach {int(sums.min())}..{int(sums.max())}, beyond an accumulator of {acc_bits} bits; "
                         "set wrap if the hardware wraps")


def _by_channel(values: ArrayLike) -> Integers:
    return np.asarray(values, np.int64)[:, None, None]
