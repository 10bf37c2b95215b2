"""Compute the constants of the requantizer of a layer, and prove that 32 bits are enough for it.

With stored codes s = a - a_low and r' = r - r_low the requantizer of channel o is

    v = offset + M * (S + a_low * sum(w)) + R * (r' + r_low),    S = sum(w * s)

and with a gate, for which sum(w) = 1, the product 2**g * (S + a_low) * (r' + r_low) is added: M grows by 2**g * r_low,
R by 2**g * a_low, and 2**g * S * r' remains.

Beyond some S the result is at its clamp whatever the residual is. Clamped to that interval, S gives the same result,
and M * S + R * r' + constant mostly fits 32 bits; integers modulo 2**32 form a ring, so only v itself has to fit. With
a gate S is not clamped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sim.functional.engine.weights import channel_order, group_widths
from sim.functional.kernels.abi import LANES, NARROW_FIELDS, WIDE_FIELDS
from sim.functional.kernels.kernel_id import KernelId, requantizer_id
from sim.ir.formats import Format
from sim.ir.ops import Conv
from sim.ir.program import Program
from sim.ir.signed_digits import multipliers

__all__ = ["RequantTable", "requant_table"]

Ints = NDArray[np.int64]
INT32 = np.iinfo(np.int32)
CODES = 256
"""What the zero point may add to a rounded v."""


@dataclass(frozen=True)
class RequantTable:
    """A requantizer, its table of channels, and its numbers for all channels."""

    kernel: KernelId
    table: NDArray[np.integer]
    zero: int
    low: int
    high: int
    wrap: int


def requant_table(program: Program, conv: Conv, interleaved: bool) -> RequantTable:
    """Choose the fastest requantizer that is exact for `conv`.

    `interleaved` says whether the kernel of `conv` gives the sums of whole groups of channels interleaved.
    """
    source, target = program.tensor(conv.input).format, conv.requantized_format(program.tensor(conv.output).format)
    residual = program.tensor(conv.residual).format if conv.residual is not None else None
    stored = target.bits <= 8
    lowest = target.low if stored else 0
    zero, low, high = target.zero_point - lowest, conv.low - lowest, conv.high - lowest
    base = source.low * conv.weight_values.sum(axis=(1, 2, 3))
    gain = multipliers(conv.multiplier)
    residual_gain = multipliers(conv.residual_multiplier) if residual else np.zeros(conv.channels, np.int64)
    gate = np.int64(0 if conv.gate is None else 1 << conv.gate)
    # Half an LSB, less one for ties to even: there the last bit of the quotient is added, which rounds odd ones up.
    half = np.where(conv.shift > 0, np.int64(1) << np.maximum(conv.shift - 1, 0), 0)
    even = program.arithmetic.rounding == "half_even"
    rounding = {"half_up": half, "half_even": np.maximum(half - 1, 0),
                "floor": np.zeros_like(half)}[program.arithmetic.rounding]
    odd = ((conv.shift > 0) & even).astype(np.int64)
    lowest_residual = residual.low if residual else 0
    offset = conv.offset + rounding + residual_gain * lowest_residual
    gain = gain + gate * lowest_residual
    kernel = partial(requantizer_id, residual=_residual_kind(conv), gated=conv.gate is not None,
                     interleaved=interleaved)
    if stored and not _wraps(program, conv, source):
        # The zero point counts as part of the offset, but for ties to even, which depend on the last bit.
        raised = 0 if even else zero
        constant = offset + gain * base + (np.int64(raised) << conv.shift)
        most_residual = residual.high - residual.low if residual else 0
        channels = Channels(gain, residual_gain + gate * base, most_residual, gate, constant, conv.shift, odd)
        spans = _spans(conv, source)
        narrow = _narrow(spans, channels, low - zero + raised, high - zero + raised) if conv.gate is None else (
            _narrow_gate(spans, channels))
        if narrow is not None:
            fields, free = narrow
            table = _table(fields, np.int32, channel_order(conv.channels) if interleaved else None)
            rounding_id = "even" if even else "free" if free else ""
            return RequantTable(kernel("narrow", rounding=rounding_id), table, zero - raised, low, high, 0)
    wide = dict(zip(WIDE_FIELDS, (base, gain, offset, conv.shift, odd, residual_gain, np.full_like(gain, gate)),
                    strict=True))
    return RequantTable(kernel("wide", wide_result=not stored), _table(wide, np.int64), zero, low, high,
                        64 - program.arithmetic.acc_bits)


def _residual_kind(conv: Conv) -> str:
    """Return what `requantizer_id` calls its residual."""
    if conv.residual is None:
        return ""
    return "pixel" if conv.residual_broadcast == "channel" else "residual"


def _wraps(program: Program, conv: Conv, source: Format) -> bool:
    """Tell whether some sum may leave the accumulator."""
    reach = np.abs(conv.weight_values).sum(axis=(1, 2, 3)) * source.magnitude
    return program.arithmetic.wrap and int(reach.max()) >= 1 << (program.arithmetic.acc_bits - 1)


def _spans(conv: Conv, source: Format) -> tuple[Ints, Ints]:
    """Return the smallest and largest S of every channel."""
    values, most = conv.weight_values, source.high - source.low
    negative, positive = (part.sum(axis=(1, 2, 3)) for part in (np.minimum(values, 0), np.maximum(values, 0)))
    return negative * most, positive * most


@dataclass(frozen=True)
class Channels:
    """Numbers of every channel: v = offset + gain * S + residual_gain * r + gate * S * r, r in 0..most_residual.

    A result is (v + odd or 0) >> shift.
    """

    gain: Ints
    residual_gain: Ints
    most_residual: int
    gate: np.int64
    offset: Ints
    shift: Ints
    odd: Ints


def _narrow(span: tuple[Ints, Ints], channels: Channels, low: int, high: int) -> tuple[dict[str, Ints], bool] | None:
    """Find NARROW_FIELDS with which v fits 32 bits, for results that are clamped to low..high; None if there are none.

    Also tell whether v fits whatever S is, so that S need not be clamped.
    """
    gain, offset, shift, odd = channels.gain, channels.offset, channels.shift, channels.odd
    if np.any(span[0] < INT32.min) or np.any(span[1] > INT32.max) or int(shift.max()) > 31:
        return None
    least, most = (np.where(gain < 0, -a, b) for a, b in (span[::-1], span))
    step = np.abs(gain)
    other = channels.residual_gain * channels.most_residual
    other_least, other_most = np.minimum(other, 0), np.maximum(other, 0)

    def fits(first: Ints, last: Ints) -> bool:
        return bool(np.all(offset + step * first + other_least >= INT32.min)
                    and np.all(offset + step * last + other_most + odd <= INT32.max - CODES))

    # With gain * S up to `bottom` the result is low whatever r is, from `top` on it is high.
    bottom = ((low + np.int64(1)) << shift) - 1 - odd - offset - other_most
    top = (np.int64(high) << shift) - offset - other_least
    divisor = np.maximum(step, 1)
    first = np.where(step == 0, 0, np.clip(bottom // divisor, least, most))
    last = np.where(step == 0, 0, np.maximum(np.clip(-(-top // divisor), least, most), first))
    if not fits(first, last):
        return None
    clamp = np.where(gain < 0, -last, first), np.where(gain < 0, -first, last)
    return _narrow_fields(clamp, channels), fits(least, most)


def _narrow_gate(span: tuple[Ints, Ints], channels: Channels) -> tuple[dict[str, Ints], bool] | None:
    """Do the same for a gate, whose v is extreme where sum and residual are."""
    corners = [channels.offset + channels.gain * s + channels.residual_gain * r + channels.gate * s * r
               for s in span for r in (0, channels.most_residual)]
    fits = (int(channels.shift.max()) <= 31 and int(np.min(corners)) >= INT32.min
            and int(np.max(corners)) < INT32.max - CODES)
    return (_narrow_fields(span, channels), True) if fits else None


def _narrow_fields(clamp: tuple[Ints, Ints], channels: Channels) -> dict[str, Ints]:
    """Return NARROW_FIELDS that clamp S like this."""
    gates = np.full_like(channels.gain, channels.gate)
    return dict(zip(NARROW_FIELDS, (*clamp, channels.gain, channels.offset, channels.shift, channels.odd,
                                    channels.residual_gain, gates), strict=True))


def _table(columns: dict[str, Ints], dtype: type[np.integer], order: Ints | None = None) -> NDArray[np.integer]:
    """Lay out all fields of LANES channels at a time, LANES of each; channels beyond the last are 0.

    With an order of channels, as many at a time as `group_widths` says.
    """
    fields = np.stack(list(columns.values()), axis=1)
    channels = len(fields)
    widths = group_widths(channels) if order is not None else [LANES] * -(-channels // LANES)
    padded = np.zeros((sum(widths), len(columns)), np.int64)
    padded[:channels] = fields if order is None else fields[order]
    parts = [part.T.reshape(-1) for part in np.split(padded, np.cumsum(widths)[:-1])]
    return np.asarray(np.concatenate(parts), np.int64).astype(dtype)
