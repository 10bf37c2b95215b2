"""A Conv as it ran: what it read on the RTL, what the contract makes of it, and the same with something changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rtl.cosim.requant_probe import Captured
from sim.functional.loops import dense_conv, depthwise_conv
from sim.functional.requantize import FLOOR, HALF_UP, ROUNDING_MODES
from sim.ir.formats import Format
from sim.ir.ops import Conv, Tensor
from sim.mapping.conv_schedule import ConvSchedule
from sim.plan.plan import Plan

__all__ = ["Array", "ConvRun", "Requantizer", "in_format", "powers"]

Array = NDArray[np.int64]
Round = Callable[[Array, Array], Array]
"""Takes v and n."""


@dataclass(frozen=True, eq=False)
class Requantizer:
    """The requantizer of a Conv, any part of which can be replaced.

    Attributes
    ----------
    digits, residual_digits : int64 arrays, shape (O, terms)
        Signed powers of two; 0 for none.
    planes : int64 array, shape (residual bits,)
        What each bit of the residual counts in a gate; no bits without a gate.
    offset, shift : int64 arrays, shape (O, 1, 1)
    round : function of v and n
    zero_point, low, high : int
    below, above : int
        What becomes of numbers below `low` and above `high`.
    code_format : Format
        Of the codes: planes beyond its bits are lost.
    """

    digits: Array
    residual_digits: Array
    planes: Array
    offset: Array
    shift: Array
    round: Round
    zero_point: int
    low: int
    high: int
    below: int
    above: int
    code_format: Format

    def value(self, acc: Array, residual: Array) -> Array:
        """Return v of accumulators and residuals, shape (N, O, H, W) each."""
        m, r = (array.sum(axis=1)[:, None, None] for array in (self.digits, self.residual_digits))
        gate = sum((((residual >> bit) & 1) * weight for bit, weight in enumerate(self.planes.tolist())),
                   np.zeros_like(acc))
        return np.asarray(self.offset + m * acc + r * residual + gate * acc, np.int64)

    def codes(self, acc: Array, residual: Array) -> Array:
        """Return the codes, clamped and cut to the planes of their format."""
        return self.clamped(self.moved(acc, residual))

    def moved(self, acc: Array, residual: Array) -> Array:
        """Return the rounded sums at the zero point."""
        return self.round(self.value(acc, residual), self.shift) + self.zero_point

    def clamped(self, moved: Array) -> Array:
        """Return the codes of rounded sums at the zero point."""
        kept = np.where(moved < self.low, self.below, np.where(moved > self.high, self.above, moved))
        return in_format(kept, self.code_format)


@dataclass(frozen=True, eq=False)
class ConvRun:
    """A Conv on what it read on the RTL.

    Attributes
    ----------
    plan : Plan
    conv : Conv
    schedule : ConvSchedule
    source : Tensor
        Its input.
    read : int32 array, shape (N, C, H, W)
        All codes of its input.
    residual : int64 array, shape (N, O, own rows, own columns)
        Zeros without one.
    captured : Captured or None
        What the requantizers of the RTL took and gave.
    """

    plan: Plan
    conv: Conv
    schedule: ConvSchedule
    source: Tensor
    read: NDArray[np.int32]
    residual: Array
    captured: Captured | None

    @cached_property
    def requantizer(self) -> Requantizer:
        """The requantizer of the contract."""
        conv, program = self.conv, self.plan.program
        fmt = conv.requantized_format(program.tensor(conv.output).format)
        planes = np.zeros(0, np.int64)
        if conv.gate is not None and conv.residual is not None:
            other = program.tensor(conv.residual).format
            planes = np.int64(1) << (np.arange(other.bits) + conv.gate)
            planes[-1] *= -1 if other.kind == "signed" else 1
        return Requantizer(powers(conv.multiplier), powers(conv.residual_multiplier, conv.channels), planes,
                           conv.offset.astype(np.int64)[:, None, None], conv.shift.astype(np.int64)[:, None, None],
                           rounding(ROUNDING_MODES[program.arithmetic.rounding]), fmt.zero_point, conv.low, conv.high,
                           conv.low, conv.high, fmt)

    @cached_property
    def accumulator(self) -> Array:
        """The accumulators of the contract, shape (N, O, own rows, own columns)."""
        return self.sums()

    def wrapped(self, sums: Array) -> Array:
        """Return sums as the accumulator holds them."""
        half = 1 << (self.plan.program.arithmetic.acc_bits - 1)
        return ((sums + half) & (2 * half - 1)) - half

    @cached_property
    def expected(self) -> Array:
        """The codes of the contract, of its own map."""
        return self.codes_of(self.accumulator)

    def output(self, codes: Array, table: NDArray[np.int16] | None = None) -> Array:
        """Return what the requantizer's codes become: entries of the table, of another one if it is given."""
        if self.conv.table is None:
            return codes
        entries = self.conv.table.codes if table is None else table
        return entries.astype(np.int64)[codes]

    @cached_property
    def padded(self) -> NDArray[np.int32]:
        """What the window slides over: the parts that are read, with their pads."""
        top, left, bottom, right = self.conv.pads
        read = self.read[:, self.source.run_slice(self.conv.input_parts)]
        return np.pad(read, ((0, 0), (0, 0), (top, bottom), (left, right)),
                      constant_values=self.source.format.zero_point)

    def sums(self, weights: Array | None = None, padded: NDArray[np.int32] | None = None) -> Array:
        """Return accumulators with other weights (what their codes mean), or over another padded input."""
        conv = self.conv
        values = conv.weight_values if weights is None else weights
        codes = self.padded if padded is None else padded
        if conv.depthwise:
            return self.wrapped(depthwise_conv(codes, values, conv.stride, conv.dilation).astype(np.int64))
        parts = zip(np.split(codes, conv.groups, axis=1), np.split(values, conv.groups), strict=True)
        found = [dense_conv(part, some, conv.stride, conv.dilation) for part, some in parts]
        return self.wrapped(np.concatenate(found, axis=1).astype(np.int64))

    def codes_of(self, accumulator: Array) -> Array:
        """Return the codes that the rest of the contract makes of other accumulators."""
        return self.output(self.requantizer.codes(accumulator, self.residual))

    @property
    def taps(self) -> int:
        """Positions of the kernel."""
        return self.conv.kernel[0] * self.conv.kernel[1]

    def of_tap(self, tap: int, weights: Array | None = None) -> Array:
        """Return the weights of one tap, counted in the order in which the machine takes them, zeros elsewhere."""
        values = self.conv.weight_values if weights is None else weights
        some = np.zeros_like(values).reshape(*values.shape[:2], -1)
        some[..., tap] = values.reshape(some.shape)[..., tap]
        return np.asarray(some.reshape(values.shape), np.int64)

    @cached_property
    def blocks(self) -> Array:
        """The sums of every block, in the order in which they are added, shape (B, N, O, own rows, own columns)."""
        conv, packing, lanes = self.conv, self.schedule.packing, self.plan.machine.lanes
        weights = conv.weight_values
        taps, found = weights.shape[2] * weights.shape[3], []
        if self.schedule.own_block or self.schedule.window is not None:
            channels = [slice(None)]
        else:
            channels = list(_channel_blocks(self.source.of_run(conv.input_parts).parts, lanes))
        for first in range(0, taps, packing):
            for block in channels:
                some = np.zeros_like(weights).reshape(*weights.shape[:2], -1)
                some[:, block, first : first + packing] = weights.reshape(some.shape)[:, block, first : first + packing]
                found.append(self.sums(some.reshape(weights.shape)))
        return np.stack(found)


def rounding(mode: int) -> Round:
    """Return the rounding of the contract on arrays."""

    def rounded(value: Array, shift: Array) -> Array:
        quotient, half = value >> shift, np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), 0)
        rest = value - (quotient << shift)
        if mode == FLOOR:
            return quotient
        if mode == HALF_UP:
            return (value + half) >> shift
        up = (shift > 0) & ((rest > half) | ((rest == half) & ((quotient & 1) == 1)))
        return np.asarray(quotient + up, np.int64)

    return rounded


def in_format(codes: Array, fmt: Format) -> Array:
    """Return the numbers that the lowest planes of others hold."""
    low = codes & ((1 << fmt.bits) - 1)
    return np.where(low >> (fmt.bits - 1) & 1, low - (1 << fmt.bits), low) if fmt.kind == "signed" else low


def powers(digits: NDArray[np.int8], channels: int | None = None) -> Array:
    """Return digits as signed powers of two, 0 where there is none."""
    if not digits.size:
        return np.zeros((len(digits) if channels is None else channels, 1), np.int64)
    wide = digits.astype(np.int64)
    return np.asarray(np.sign(wide) * (np.int64(1) << np.maximum(np.abs(wide) - 1, 0)) * (wide != 0), np.int64)


def _channel_blocks(parts: tuple[int, ...], lanes: int) -> Iterator[slice]:
    start = 0
    for part in parts:
        for first in range(0, part, lanes):
            yield slice(start + first, start + min(first + lanes, part))
        start += part
