"""Turn sums into stored codes as `sim.functional.requantize` does, for a row of channels at once.

A kernel takes (op, sums, row_bytes, rows, first, count, targets, residuals): sums of `count` channels from channel
`first` on, int32, a row for each of `rows` pixels, and the addresses of the pixels' targets and residuals.

    narrow  32 bits: `sim.functional.engine.requant_table` has proved that no sum, clamped where the result no longer
            changes, leaves them; `free` ones need not even be clamped; `even` ones round ties to even. The product of a
            gate is not monotone in the sum, so gated ones are `free`, or `even` with the clamp open
    wide    64 bits, accumulators that wrap, results of 8 or 32 bits

`grouped` ones take the sums of every whole GROUP of channels, and of a HALF_GROUP that is left, interleaved
(`sim.functional.kernels.interleave`): narrow ones have their parameters in that order too and pack bytes without
crossing lanes, wide ones put the sums in order first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from llvmlite import ir
from numba import njit

from sim.functional.kernels.abi import (
    CHANNELS,
    GROUP,
    HALF_GROUP,
    HIGH,
    LANES,
    LOW,
    NARROW_FIELDS,
    PARAMETERS,
    WIDE_FIELDS,
    WRAP,
    ZERO,
)
from sim.functional.kernels.interleave import in_order, packed, widened
from sim.functional.kernels.kernel_id import KernelId, requantizer_id
from sim.functional.kernels.llvm_builder import I8, I32, I64, Code, Loop, const, llvm_intrinsic, vector
from sim.functional.kernels.op_view import load_word

__all__ = ["KERNELS", "NEEDS", "Narrow", "Residual", "clamped_bytes", "narrowed"]


def _constants(code: Code, parameters: ir.Value, fields: tuple[str, ...], element: ir.Type) -> dict[str, ir.Value]:
    kind = vector(element, LANES)
    size = LANES * element.width // 8
    return {name: code.load(kind, parameters, i * size) for i, name in enumerate(fields)}


@dataclass(frozen=True)
class Residual:
    """Say what a kernel does with a residual: whether a pixel has one code for all channels, and whether it is gated.

    A gate multiplies by multiplier + gate * residual instead of the multiplier alone.
    """

    pixel: bool
    gated: bool

    def load(self, code: Code, pixel: ir.Value, channel: ir.Value, lanes: int) -> ir.Value:
        """Return the codes of some channels from `channel` on, of the pixel whose first code is at `pixel`."""
        if self.pixel:
            return code.splat(code.load(I8, pixel), lanes)
        return code.load(vector(I8, lanes), code.add(pixel, channel))


@dataclass(frozen=True)
class Narrow:
    """Say what a kernel of 32 bits does beside multiplying, adding and shifting."""

    residual: Residual | None
    even: bool = False
    free: bool = False


def narrowed(code: Code, sums: ir.Value, residual: ir.Value | None, field: dict[str, ir.Value],
            what: Narrow) -> ir.Value:
    """Return round_shift(offset + multiplier * sum + residual_multiplier * residual, shift).

    The offset contains half an LSB.
    """
    if not what.free:
        sums = code.smax(code.smin(sums, field["highest_sum"]), field["lowest_sum"])
    value = _summed(code, sums, residual, field, what.residual)
    if what.even:
        value = code.add(value, code.and_(code.ashr(value, field["shift"]), field["odd"]))
    return code.ashr(value, field["shift"])


def clamped_bytes(code: Code, values: list[ir.Value], low: ir.Value, high: ir.Value) -> ir.Value:
    """Return the bytes of results, clamped: of a whole or half group in four vectors, else of LANES channels in one."""
    if len(values) == 1:
        least, most = (code.splat(code.trunc(value, I32), LANES) for value in (low, high))
        return code.trunc(code.smax(code.smin(values[0], most), least), vector(I8, LANES))
    codes = packed(code, values)
    least, most = (code.splat(code.trunc(value, I8), codes.type.count) for value in (low, high))
    return code.umax(code.umin(codes, most), least)


def _summed(code: Code, sums: ir.Value, residual: ir.Value | None, field: dict[str, ir.Value],
            what: Residual | None) -> ir.Value:
    """Return offset + multiplier * sum, and what a residual adds, as wide as the sums."""
    if residual is None or what is None:
        return code.add(code.mul(sums, field["multiplier"]), field["offset"])
    raised = code.zext(residual, sums.type)
    multiplier = code.add(field["multiplier"], code.mul(raised, field["gate"])) if what.gated else field["multiplier"]
    value = code.add(code.mul(sums, multiplier), field["offset"])
    return code.add(value, code.mul(raised, field["residual_multiplier"]))


def _wide(code: Code, sums: ir.Value, residual: ir.Value | None, field: dict[str, ir.Value],
          wrap: ir.Value, what: Residual | None) -> ir.Value:
    kind = vector(I64, LANES)
    above = code.splat(wrap, LANES)
    whole = code.add(code.sext(sums, kind), field["base"])
    wrapped = code.ashr(code.shl(whole, above), above)
    value = _summed(code, wrapped, residual, field, what)
    value = code.add(value, code.and_(code.ashr(value, field["shift"]), field["odd"]))
    return code.ashr(value, field["shift"])


def _column(result: ir.Type, what: Residual | None, narrow: Narrow | None, whole: bool) -> Callable[..., int]:
    """Make the intrinsic that requantizes LANES channels of all rows, whose parameters stay in registers."""
    element, fields = (I64, WIDE_FIELDS) if narrow is None else (I32, NARROW_FIELDS)

    @llvm_intrinsic
    def column(code, parameters, sums, row_bytes, rows, channel, count, targets, residuals, zero, low, high, wrap):
        field = _constants(code, parameters, fields, element)
        raised, least, most = (code.splat(code.trunc(value, element) if element is I32 else value, LANES)
                               for value in (zero, low, high))
        bytes_each = const(result.width // 8)
        loop = Loop(code, rows, [sums])
        here = code.load(vector(I32, LANES), loop.values[0])
        residual = None
        if what is not None:
            pixel = code.load(I64, code.add(residuals, code.mul(loop.index, const(8))))
            residual = what.load(code, pixel, channel, LANES)
        if narrow is None:
            value = _wide(code, here, residual, field, wrap, what)
        else:
            value = narrowed(code, here, residual, field, narrow)
        value = code.smax(code.smin(code.add(value, raised), most), least)
        place = code.load(I64, code.add(targets, code.mul(loop.index, const(8))))
        place = code.add(place, code.mul(channel, bytes_each))
        stored = code.trunc(value, vector(result, LANES)) if element is not result else value
        if whole:
            code.store(stored, place)
        else:
            code.store_first(stored, count, place)
        loop.close([code.add(loop.values[0], row_bytes)])

    return column


def _group(channels: int, narrow: Narrow) -> Callable[..., int]:
    """Make the intrinsic that requantizes a group of `channels` channels of all rows, whose sums are interleaved."""
    kind, size = vector(I32, channels // 4), channels

    @llvm_intrinsic
    def group(code, parameters, sums, row_bytes, rows, channel, targets, residuals, zero, low, high):
        fields = [{name: code.load(kind, parameters, (4 * i + q) * size) for i, name in enumerate(NARROW_FIELDS)}
                  for q in range(4)]
        raised = code.splat(code.trunc(zero, I32), kind.count)
        least, most = (code.splat(code.trunc(value, I8), channels) for value in (low, high))
        loop = Loop(code, rows, [sums])
        offset = code.mul(loop.index, const(8))
        others: list[ir.Value | None] = [None] * 4
        if narrow.residual is not None:
            pixel = code.load(I64, code.add(residuals, offset))
            others = widened(code, narrow.residual.load(code, pixel, channel, channels))
        values = []
        for q, (field, other) in enumerate(zip(fields, others, strict=True)):
            value = narrowed(code, code.load(kind, loop.values[0], q * size), other, field, narrow)
            values.append(code.add(value, raised) if narrow.even else value)
        codes = code.umax(code.umin(packed(code, values), most), least)
        code.store(codes, code.add(code.load(I64, code.add(targets, offset)), channel))
        loop.close([code.add(loop.values[0], row_bytes)])

    return group


def _kernel(result: ir.Type, residual: Residual | None,
            narrow: Narrow | None = None) -> Callable[[], Callable[..., None]]:
    def build() -> Callable[..., None]:
        whole_column = _column(result, residual, narrow, whole=True)
        part_column = _column(result, residual, narrow, whole=False)
        fields = len(WIDE_FIELDS) * 8 if narrow is None else len(NARROW_FIELDS) * 4

        def requantize(op, sums, row_bytes, rows, first, count, targets, residuals):
            zero, low, high, wrap = load_word(op, ZERO), load_word(op, LOW), load_word(op, HIGH), load_word(op, WRAP)
            channels = load_word(op, CHANNELS)
            for channel in range(first, min(first + count, channels), LANES):
                left = channels - channel
                parameters = load_word(op, PARAMETERS) + channel * fields
                here = sums + 4 * (channel - first)
                if left >= LANES:
                    whole_column(parameters, here, row_bytes, rows, channel, left, targets, residuals, zero, low, high,
                                 wrap)
                else:
                    part_column(parameters, here, row_bytes, rows, channel, left, targets, residuals, zero, low, high,
                                wrap)

        return requantize

    return build


def _ordered(channels: int) -> Callable[..., int]:
    @llvm_intrinsic
    def put_in_order(code, sums, row_bytes, rows):
        """Put the interleaved sums of a group of channels in order, in all rows."""
        kind = vector(I32, channels // 4)
        loop = Loop(code, rows, [sums])
        here = loop.values[0]
        code.store(in_order(code, [code.load(kind, here, channels * q) for q in range(4)]), here)
        loop.close([code.add(here, row_bytes)])

    return put_in_order


def _ordering_kernel(result: ir.Type, residual: Residual | None) -> Callable[[], Callable[..., None]]:
    def build() -> Callable[..., None]:
        ordered = njit(_kernel(result, residual)(), error_model="numpy")
        order_group, order_half = _ordered(GROUP), _ordered(HALF_GROUP)

        def requantize(op, sums, row_bytes, rows, first, count, targets, residuals):
            channel, end = first, min(first + count, load_word(op, CHANNELS))
            while channel + GROUP <= end:
                order_group(sums + 4 * (channel - first), row_bytes, rows)
                channel += GROUP
            if channel + HALF_GROUP <= end:
                order_half(sums + 4 * (channel - first), row_bytes, rows)
            ordered(op, sums, row_bytes, rows, first, count, targets, residuals)

        return requantize

    return build


def _grouped_kernel(narrow: Narrow) -> Callable[[], Callable[..., None]]:
    def build() -> Callable[..., None]:
        group, half = _group(GROUP, narrow), _group(HALF_GROUP, narrow)
        ordered = njit(_kernel(I8, narrow.residual, narrow)(), error_model="numpy")
        fields = len(NARROW_FIELDS) * 4

        def requantize(op, sums, row_bytes, rows, first, count, targets, residuals):
            zero, low, high = load_word(op, ZERO), load_word(op, LOW), load_word(op, HIGH)
            channel, end = first, min(first + count, load_word(op, CHANNELS))
            while channel + GROUP <= end:
                group(load_word(op, PARAMETERS) + channel * fields, sums + 4 * (channel - first), row_bytes, rows,
                      channel, targets, residuals, zero, low, high)
                channel += GROUP
            if channel + HALF_GROUP <= end:
                half(load_word(op, PARAMETERS) + channel * fields, sums + 4 * (channel - first), row_bytes, rows,
                     channel, targets, residuals, zero, low, high)
                channel += HALF_GROUP
            if channel < end:
                ordered(op, sums + 4 * (channel - first), row_bytes, rows, channel, end - channel, targets, residuals)

        return requantize

    return build


def _kernels(interleaved: bool) -> dict[KernelId, Callable[[], Callable[..., None]]]:
    kernels = {}
    for residual in RESIDUALS:
        named = partial(requantizer_id, interleaved=interleaved, gated=residual is not None and residual.gated,
                        residual="" if residual is None else "pixel" if residual.pixel else "residual")
        for rounding in ("", "even", "free"):
            narrow = Narrow(residual, even=rounding == "even", free=rounding == "free")
            kernel = named("narrow", rounding=rounding)
            kernels[kernel] = _grouped_kernel(narrow) if interleaved else _kernel(I8, residual, narrow)
        for result in (I8, I32):
            kernel = named("wide", wide_result=result is I32)
            kernels[kernel] = (_ordering_kernel if interleaved else _kernel)(result, residual)
    return kernels


RESIDUALS = (None, *(Residual(pixel, gated) for pixel in (False, True) for gated in (False, True)))
GROUPED = _kernels(interleaved=True)
KERNELS = _kernels(interleaved=False) | GROUPED
NEEDS = dict.fromkeys(GROUPED, "avx512")
