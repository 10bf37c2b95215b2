"""One code by the arithmetic contract: its operands, its accumulator and every step of the requantizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.functional.requantize import ROUNDING_MODES, round_shift, wrap
from sim.inspect.writers import Pixel
from sim.ir.arithmetic import Arithmetic
from sim.ir.ops import Conv, Pool, Tensor
from sim.ir.program import Program

__all__ = ["Operand", "Requantization", "Tap", "requantization_of", "taps_of"]

Codes = Mapping[str, NDArray[np.int32]]


@dataclass(frozen=True)
class Tap:
    """A position of the window.

    Attributes
    ----------
    row, column : int
        In the kernel.
    channel, y, x : int
        In the input.
    padded : bool
        It lies outside the map.
    code : int or None
        Of the input, its zero point where it is padded; None where max pooling is padded.
    weight : int or None
        What the weight means; None for a Pool.
    """

    row: int
    column: int
    channel: int
    y: int
    x: int
    padded: bool
    code: int | None
    weight: int | None


@dataclass(frozen=True)
class Operand:
    """The code of a residual, and where it lies."""

    tensor: str
    channel: int
    y: int
    x: int
    code: int


@dataclass(frozen=True)
class Requantization:
    """From an accumulator to a code, step by step.

    Attributes
    ----------
    sum, accumulator : int
        Over all taps, and wrapped to the accumulator's bits.
    multiplier : int
        M, the sum of its digits.
    digits : tuple of int
        Signed powers of two, largest first.
    offset, shift : int
    residual : Operand or None
    residual_multiplier : int
        R.
    residual_digits : tuple of int
    gate : int or None
        Exponent of the product of accumulator and residual.
    value : int
        v, before the shift.
    rounding : str
    remainder : int
        What v has beyond a multiple of 2**shift, 0..2**shift - 1.
    tie : bool
        The remainder is exactly a half.
    rounded, zero_point : int
        v shifted and rounded, and what is added to it.
    low, high : int
        The clamp.
    clamped : str or None
        "low" or "high" if it acts.
    index : int or None
        Of the table.
    code : int
        What the op writes.
    """

    sum: int
    accumulator: int
    multiplier: int
    digits: tuple[int, ...]
    offset: int
    shift: int
    residual: Operand | None
    residual_multiplier: int
    residual_digits: tuple[int, ...]
    gate: int | None
    value: int
    rounding: str
    remainder: int
    tie: bool
    rounded: int
    zero_point: int
    low: int
    high: int
    clamped: str | None
    index: int | None
    code: int


def taps_of(program: Program, op: Conv | Pool, codes: Codes, image: int, own: Pixel) -> tuple[Tap, ...]:
    """Return what an op reads for a code of its own map: tap after tap, at each all channels."""
    source = program.tensor(op.input)
    first = source.run_slice(op.input_parts).start
    dilation = op.dilation if isinstance(op, Conv) else (1, 1)
    found = []
    for row in range(op.kernel[0]):
        for column in range(op.kernel[1]):
            y = own.y * op.stride[0] + row * dilation[0] - op.pads[0]
            x = own.x * op.stride[1] + column * dilation[1] - op.pads[1]
            for number, channel in enumerate(_channels(op, own.channel)):
                weight = int(op.weight_values[own.channel, number, row, column]) if isinstance(op, Conv) else None
                found.append(_tap(op, source, codes, image, (row, column), Pixel(first + channel, y, x), weight))
    return tuple(found)


def requantization_of(program: Program, conv: Conv, codes: Codes, image: int, own: Pixel,
                      taps: tuple[Tap, ...]) -> Requantization:
    """Return how a Conv makes a code of its own map out of its taps."""
    arithmetic, target = program.arithmetic, program.tensor(conv.output)
    total = sum((tap.code or 0) * (tap.weight or 0) for tap in taps)
    residual = _residual(program, conv, codes, image, own)
    digits, residual_digits = (_powers(array, own.channel) for array in (conv.multiplier, conv.residual_multiplier))
    acc, shift = wrap(total, arithmetic.acc_bits), int(conv.shift[own.channel])
    other = residual.code if residual else 0
    gated = 0 if conv.gate is None else (acc * other) << conv.gate
    value = int(conv.offset[own.channel]) + sum(digits) * acc + sum(residual_digits) * other + gated
    zero = conv.requantized_format(target.format).zero_point
    rounded = round_shift(value, shift, ROUNDING_MODES[arithmetic.rounding])
    clamped = min(conv.high, max(conv.low, rounded + zero))
    remainder = value - (value >> shift << shift)
    return Requantization(
        total, acc, sum(digits), digits, int(conv.offset[own.channel]), shift, residual, sum(residual_digits),
        residual_digits, conv.gate, value, _rounding(arithmetic), remainder, shift > 0 and 2 * remainder == 1 << shift,
        rounded, zero, conv.low, conv.high,
        "low" if rounded + zero < conv.low else "high" if rounded + zero > conv.high else None,
        None if conv.table is None else clamped, clamped if conv.table is None else int(conv.table.codes[clamped]))


def _rounding(arithmetic: Arithmetic) -> str:
    return arithmetic.rounding


def _channels(op: Conv | Pool, channel: int) -> range:
    """Return the channels of the run of parts that is read for an output channel."""
    if isinstance(op, Pool) or op.depthwise:
        return range(channel, channel + 1)
    inputs, outputs = op.weights.shape[1], op.channels // op.groups
    first = channel // outputs * inputs
    return range(first, first + inputs)


def _tap(op: Conv | Pool, source: Tensor, codes: Codes, image: int, kernel: tuple[int, int], place: Pixel,
         weight: int | None) -> Tap:
    padded = not (0 <= place.y < source.height and 0 <= place.x < source.width)
    outside = source.format.zero_point if isinstance(op, Conv) else None
    code = outside if padded else int(codes[source.name][image, place.channel, place.y, place.x])
    return Tap(*kernel, place.channel, place.y, place.x, padded, code, weight)


def _residual(program: Program, conv: Conv, codes: Codes, image: int, own: Pixel) -> Operand | None:
    if conv.residual is None:
        return None
    first = program.tensor(conv.residual).part_slice(conv.residual_part).start
    channel = first if conv.residual_broadcast == "channel" else first + own.channel
    y, x = (0, 0) if conv.residual_broadcast == "map" else (own.y, own.x)
    return Operand(conv.residual, channel, y, x, int(codes[conv.residual][image, channel, y, x]))


def _powers(digits: NDArray[np.int8], channel: int) -> tuple[int, ...]:
    """Return the digits of a channel as signed powers of two."""
    row = digits[channel].tolist() if digits.size else []
    return tuple((1 if digit > 0 else -1) << (abs(digit) - 1) if digit > 0 else -(1 << (abs(digit) - 1))
                 for digit in row if digit)
