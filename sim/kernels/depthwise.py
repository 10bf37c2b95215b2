"""Depthwise convolution, sums of windows, additions and copies: every channel sees itself alone.

    taps      any window: four taps of 64 channels are interleaved, so that one instruction adds all four; without VNNI, tap
              by tap
    columns   windows three wide and up to four high: a column of the window is interleaved once and serves all the
              outputs that see it, which is why `_2` (stride 2) and `_1` differ

Weights are `[group of channels][quad][channel][4]` with quads of taps, or of the rows of a column, in the order of the
interleaved channels; tap by tap `[tap][channel]`.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from sim.kernels.call import call_requantizer
from sim.kernels.dots import DOTS
from sim.kernels.ir import I8, I16, I32, I64, Code, Loop, emitted, number, vector
from sim.kernels.op import integer, locate
from sim.kernels.words import (
    CHANNELS,
    CHUNK,
    DEPTHWISE_CHANNELS,
    HEIGHT,
    REQUANTIZER,
    RUN,
    SCRATCH,
    TAPS,
    WEIGHTS,
    WIDTH,
)

__all__ = ["KERNELS"]

QUADS = DEPTHWISE_CHANNELS // 16
"""Vectors of 16 sums of a group of channels."""
VNNI = DOTS["avx512"]


def _interleaved(code: Code, rows: list[ir.Value]) -> list[ir.Value]:
    """Byte k of the lane of a channel is the channel's in rows[k]; channels come in the order of `_in_order`."""
    half = vector(I16, DEPTHWISE_CHANNELS // 2)
    pairs = [[code.bitcast(_unpacked(code, a, b, 16, high), half) for high in (0, 1)]
             for a, b in (rows[:2], rows[2:])]
    return [code.bitcast(_unpacked(code, first, second, 8, high), vector(I32, 16))
            for first, second in zip(*pairs, strict=True) for high in (0, 1)]


def _unpacked(code: Code, a: ir.Value, b: ir.Value, lane: int, high: int) -> ir.Value:
    """Elements of a and b in turn, of the lower or upper half of every 128 bits, which hold `lane` elements."""
    count = a.type.count
    order = [element + which * count for start in range(0, count, lane)
             for element in range(start + high * lane // 2, start + high * lane // 2 + lane // 2) for which in (0, 1)]
    return code.pick(a, b, order)


def _in_order(code: Code, sums: list[ir.Value]) -> list[ir.Value]:
    """Sums of 64 channels in order: vector q has, in 128-bit lane l, channels 16 l + 4 q and the three after it."""
    def halves(a: ir.Value, b: ir.Value, lanes: tuple[int, int]) -> ir.Value:
        return code.pick(a, b, [4 * lane + i + 16 * which for which in (0, 1) for lane in lanes for i in range(4)])

    low, high = (tuple(halves(sums[q], sums[q + 1], lanes) for q in (0, 2)) for lanes in ((0, 1), (2, 3)))
    ordered = []
    for first, second in (low, high):
        for lane in (0, 1):
            ordered.append(code.pick(first, second, [4 * (lane + 2 * q) + i + 16 * which
                                                     for which in (0, 1) for q in (0, 1) for i in range(4)]))
    return ordered


def _loaded(code: Code, kind: ir.Type, address: ir.Value, count: int) -> list[ir.Value]:
    return [code.load(kind, address, q * 64) for q in range(count)]


@emitted
def _quads_pixel(code: Code, window, taps, quads, weights, sums):  # type: ignore[no-untyped-def]
    """Sums of 64 channels of one pixel, four taps a turn."""
    zero = number(0, vector(I32, 16))
    loop = Loop(code, quads, [zero] * QUADS + [weights, taps])
    *totals, place, tap = loop.values
    rows = [code.load(vector(I8, DEPTHWISE_CHANNELS), code.add(window, code.load(I64, tap, 8 * k))) for k in range(4)]
    across = _loaded(code, zero.type, place, QUADS)
    totals = [VNNI.add(code, total, [codes], [weight])
              for total, codes, weight in zip(totals, _interleaved(code, rows), across, strict=True)]
    *totals, _, _ = loop.end([*totals, code.add(place, number(QUADS * 64)), code.add(tap, number(32))])
    for i, total in enumerate(_in_order(code, totals)):
        code.store(total, sums, 64 * i)


def _columns_row(stride: int) -> Callable[..., int]:
    """Sums of 64 channels of a row of outputs, windows of three columns."""
    kept = 3 - stride

    @emitted
    def row(code, window, taps, pixel, count, weights, sums):  # type: ignore[no-untyped-def]
        across = _loaded(code, vector(I32, 16), weights, 3 * QUADS)
        offsets = [code.load(I64, taps, 8 * k) for k in range(4)]

        def column(place: ir.Value) -> list[ir.Value]:
            return _interleaved(code, [code.load(vector(I8, DEPTHWISE_CHANNELS), code.add(place, offset))
                                       for offset in offsets])

        seen = []
        place = window
        for _ in range(kept):
            seen += column(place)
            place = code.add(place, pixel)
        loop = Loop(code, count, [*seen, place, sums])
        *seen, place, here = loop.values
        for _ in range(stride):
            seen += column(place)
            place = code.add(place, pixel)
        totals = [number(0, vector(I32, 16))] * QUADS
        for i, codes in enumerate(seen):
            totals[i % QUADS] = VNNI.add(code, totals[i % QUADS], [codes], [across[i]])
        for i, total in enumerate(_in_order(code, totals)):
            code.store(total, here, 64 * i)
        loop.end([*seen[-kept * QUADS:], place, code.add(here, number(4 * DEPTHWISE_CHANNELS))])

    return row


@emitted
def _taps_pixel(code: Code, window, taps, tap_count, weights, sums):  # type: ignore[no-untyped-def]
    """Sums of 16 channels of one pixel, tap by tap."""
    wide = vector(I32, 16)
    loop = Loop(code, tap_count, [number(0, wide), weights])
    total, place = loop.values
    tap = code.load(I64, code.add(taps, code.mul(loop.index, number(8))))
    codes = code.zext(code.load(vector(I8, 16), code.add(window, tap)), wide)
    weight = code.sext(code.load(vector(I8, 16), place), wide)
    total, _ = loop.end([code.add(total, code.mul(codes, weight)), code.add(place, number(16))])
    code.store(total, sums)


def _by_chunks(pixel: Callable[..., int], group: int, weights_each: int) -> Callable[[], Callable[..., None]]:
    """A kernel that goes through chunks of pixels for every `group` channels, of `weights_each` bytes a turn."""
    def build() -> Callable[..., None]:
        def depthwise(op, arena):  # type: ignore[no-untyped-def]
            pixels, channels, turns = integer(op, HEIGHT) * integer(op, WIDTH), integer(op, CHANNELS), integer(op, RUN)
            windows = arena + integer(op, SCRATCH)
            targets = windows + 8 * CHUNK
            residuals = targets + 8 * CHUNK
            sums = residuals + 8 * CHUNK
            for start in range(0, pixels, CHUNK):
                count = min(CHUNK, pixels - start)
                locate(op, arena, start, count, windows, targets, residuals)
                weights = integer(op, WEIGHTS)
                for first in range(0, channels, group):
                    for i in range(count):
                        pixel(integer(windows, i) + first, integer(op, TAPS), turns, weights, sums + i * group * 4)
                    call_requantizer(integer(op, REQUANTIZER), op, sums, group * 4, count, first, group, targets,
                                     residuals)
                    weights += turns * weights_each

        return depthwise

    return build


def _by_rows(stride: int) -> Callable[[], Callable[..., None]]:
    def build() -> Callable[..., None]:
        row = _columns_row(stride)
        group = DEPTHWISE_CHANNELS

        def columns(op, arena):  # type: ignore[no-untyped-def]
            width, channels = integer(op, WIDTH), integer(op, CHANNELS)
            windows = arena + integer(op, SCRATCH)
            targets = windows + 8 * CHUNK
            residuals = targets + 8 * CHUNK
            sums = residuals + 8 * CHUNK
            pixel = integer(op, RUN)
            for y in range(integer(op, HEIGHT)):
                for x in range(0, width, CHUNK):
                    count = min(CHUNK, width - x)
                    locate(op, arena, y * width + x, count, windows, targets, residuals)
                    weights = integer(op, WEIGHTS)
                    for first in range(0, channels, group):
                        row(integer(windows, 0) + first, integer(op, TAPS), pixel, count, weights, sums)
                        call_requantizer(integer(op, REQUANTIZER), op, sums, group * 4, count, first, group, targets,
                                         residuals)
                        weights += 3 * group * 4

        return columns

    return build


KERNELS = {"taps": _by_chunks(_taps_pixel, 16, 16), "quads": _by_chunks(_quads_pixel, DEPTHWISE_CHANNELS, 256),
           "columns_1": _by_rows(1), "columns_2": _by_rows(2)}
