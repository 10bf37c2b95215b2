"""Depthwise convolution, sums of windows, additions and copies: every channel sees itself alone.

    taps      any window, tap by tap: any CPU
    quads     any window: four taps of up to 64 channels are interleaved, so that one instruction adds all four
    columns   windows three wide and up to four high: a column of the window is interleaved once and serves all the
              outputs that see it, which is why `_2` (stride 2) and `_1` differ
    narrow*   likewise, and the sums are requantized in the registers in which they were added up, as by the requantizer
              of the same name

Weights are `[group of channels][quad][channel][4]` with quads of taps, or of the rows of a column, in the order of the
interleaved channels; tap by tap `[tap][channel]`.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba import njit

from sim.functional.kernels.abi import (
    CHANNELS,
    CHUNK,
    HEIGHT,
    HIGH,
    LANES,
    LOW,
    NARROW_FIELDS,
    PARAMETERS,
    REQUANTIZER,
    ROW_CHUNK,
    RUN,
    SCRATCH,
    SOURCE,
    SOURCE_ROW,
    TAPS,
    TARGET,
    TARGET_PIXEL,
    TARGET_ROW,
    WEIGHTS,
    WIDTH,
)
from sim.functional.kernels.dot_product import Vnni
from sim.functional.kernels.interleave import in_order, interleaved
from sim.functional.kernels.kernel_id import KernelId, requantizer_id
from sim.functional.kernels.llvm_builder import I8, I32, I64, Code, Loop, const, llvm_intrinsic, vector
from sim.functional.kernels.op_view import call_requantizer, load_word, locate
from sim.functional.kernels.requantizer import Narrow, clamped_bytes, narrowed

__all__ = ["KERNELS", "NEEDS"]


def _quads_pixel(channels: int) -> Callable[..., int]:
    """Make the intrinsic that sums `channels` channels of one pixel, four taps a turn."""
    lanes = channels // 4
    vnni, kind, size = Vnni(lanes), vector(I32, lanes), 4 * lanes

    @llvm_intrinsic
    def pixel(code, window, taps, quads, weights, sums):
        loop = Loop(code, quads, [const(0, kind)] * 4 + [weights, taps])
        *totals, place, tap = loop.values
        rows = [code.load(vector(I8, channels), code.add(window, code.load(I64, tap, 8 * k))) for k in range(4)]
        across = [code.load(kind, place, q * size) for q in range(4)]
        totals = [vnni.add(code, total, [codes], [weight])
                  for total, codes, weight in zip(totals, interleaved(code, rows), across, strict=True)]
        *totals, _, _ = loop.close([*totals, code.add(place, const(4 * size)), code.add(tap, const(32))])
        for q, total in enumerate(totals):
            code.store(total, sums, q * size)

    return pixel


def _sum_row(code: Code, channels: int, stride: int, places: tuple[ir.Value, ...],
             use: Callable[[list[ir.Value], ir.Value], None]) -> None:
    """Give the sums of `channels` channels of a row of outputs to `use`, whose windows have three columns.

    `places` are the first window, the rows of a window, bytes of a pixel, how many outputs there are, and the weights.
    """
    window, taps, pixel, count, weights = places
    kept, lanes = 3 - stride, channels // 4
    vnni, kind, size = Vnni(lanes), vector(I32, lanes), 4 * lanes
    across = [code.load(kind, weights, i * size) for i in range(12)]
    offsets = [code.load(I64, taps, 8 * k) for k in range(4)]

    def columns(place: ir.Value, count: int) -> tuple[list[ir.Value], ir.Value]:
        seen = []
        for _ in range(count):
            seen += interleaved(code, [code.load(vector(I8, channels), code.add(place, offset)) for offset in offsets])
            place = code.add(place, pixel)
        return seen, place

    seen, place = columns(window, kept)
    loop = Loop(code, count, [*seen, place])
    *seen, place = loop.values
    entering, place = columns(place, stride)
    seen = [*seen, *entering]
    totals = [const(0, kind)] * 4
    for i, codes in enumerate(seen):
        totals[i % 4] = vnni.add(code, totals[i % 4], [codes], [across[i]])
    use(totals, loop.index)
    loop.close([*seen[-kept * 4:], place])


def _columns_row(channels: int, stride: int) -> Callable[..., int]:
    """Make the intrinsic that writes the sums of `channels` channels of a row of outputs."""
    @llvm_intrinsic
    def row(code, window, taps, pixel, count, weights, sums):
        def store(totals: list[ir.Value], index: ir.Value) -> None:
            here = code.add(sums, code.mul(index, const(4 * channels)))
            for q, total in enumerate(totals):
                code.store(total, here, q * channels)

        _sum_row(code, channels, stride, (window, taps, pixel, count, weights), store)

    return row


def _codes_row(channels: int, stride: int, narrow: Narrow) -> Callable[..., int]:
    """Make the intrinsic that computes and stores `channels` channels of a row of outputs, `left` of them if 16."""
    lanes = LANES if channels == LANES else channels // 4
    kind = vector(I32, lanes)

    @llvm_intrinsic
    def row(code, window, taps, pixel, count, weights, parameters, target, target_pixel, left, low, high):
        fields = [{name: code.load(kind, parameters, 4 * (i * channels + q * lanes))
                   for i, name in enumerate(NARROW_FIELDS)} for q in range(channels // lanes)]

        def store(totals: list[ir.Value], index: ir.Value) -> None:
            sums = [in_order(code, totals)] if channels == LANES else totals
            values = [narrowed(code, total, None, field, narrow) for total, field in zip(sums, fields, strict=True)]
            codes, place = clamped_bytes(code, values, low, high), code.add(target, code.mul(index, target_pixel))
            if channels == LANES:
                code.store_first(codes, left, place)
            else:
                code.store(codes, place)

        _sum_row(code, channels, stride, (window, taps, pixel, count, weights), store)

    return row


@llvm_intrinsic
def _taps_pixel(code: Code, window, taps, tap_count, weights, sums):
    """Sum 16 channels of one pixel, tap by tap."""
    wide = vector(I32, 16)
    loop = Loop(code, tap_count, [const(0, wide), weights])
    total, place = loop.values
    tap = code.load(I64, code.add(taps, code.mul(loop.index, const(8))))
    codes = code.zext(code.load(vector(I8, 16), code.add(window, tap)), wide)
    weight = code.sext(code.load(vector(I8, 16), place), wide)
    total, _ = loop.close([code.add(total, code.mul(codes, weight)), code.add(place, const(16))])
    code.store(total, sums)


def _taps() -> Callable[..., None]:
    def taps(op, arena):
        pixels, channels = load_word(op, HEIGHT) * load_word(op, WIDTH), load_word(op, CHANNELS)
        turns = load_word(op, RUN)
        windows = arena + load_word(op, SCRATCH)
        targets = windows + 8 * CHUNK
        residuals = targets + 8 * CHUNK
        sums = residuals + 8 * CHUNK
        for start in range(0, pixels, CHUNK):
            count = min(CHUNK, pixels - start)
            locate(op, arena, start, count, windows, targets, residuals)
            weights = load_word(op, WEIGHTS)
            for first in range(0, channels, 16):
                for i in range(count):
                    _taps_pixel(load_word(windows, i) + first, load_word(op, TAPS), turns, weights, sums + i * 64)
                call_requantizer(load_word(op, REQUANTIZER), op, sums, 64, count, first, 16, targets, residuals)
                weights += turns * 16

    return taps


def _quads() -> Callable[..., None]:
    pixel_64, pixel_32, pixel_16 = (_quads_pixel(channels) for channels in (64, 32, 16))

    def quads(op, arena):
        pixels, channels = load_word(op, HEIGHT) * load_word(op, WIDTH), load_word(op, CHANNELS)
        turns = load_word(op, RUN)
        taps = load_word(op, TAPS)
        windows = arena + load_word(op, SCRATCH)
        targets = windows + 8 * CHUNK
        residuals = targets + 8 * CHUNK
        sums = residuals + 8 * CHUNK
        for start in range(0, pixels, CHUNK):
            count = min(CHUNK, pixels - start)
            locate(op, arena, start, count, windows, targets, residuals)
            weights, first = load_word(op, WEIGHTS), 0
            while first < channels:
                width = _width(channels - first)
                for i in range(count):
                    window = load_word(windows, i) + first
                    if width == 64:
                        pixel_64(window, taps, turns, weights, sums + i * 256)
                    elif width == 32:
                        pixel_32(window, taps, turns, weights, sums + i * 128)
                    else:
                        pixel_16(window, taps, turns, weights, sums + i * 64)
                call_requantizer(load_word(op, REQUANTIZER), op, sums, 4 * width, count, first, width, targets,
                                 residuals)
                weights += turns * width * 4
                first += width

    return quads


def _columns(stride: int) -> Callable[[], Callable[..., None]]:
    def build() -> Callable[..., None]:
        row_64, row_32, row_16 = (_columns_row(channels, stride) for channels in (64, 32, 16))

        def columns(op, arena):
            width, channels, pixel = load_word(op, WIDTH), load_word(op, CHANNELS), load_word(op, RUN)
            taps = load_word(op, TAPS)
            windows = arena + load_word(op, SCRATCH)
            targets = windows + 8 * ROW_CHUNK
            residuals = targets + 8 * ROW_CHUNK
            sums = residuals + 8 * ROW_CHUNK
            for y in range(load_word(op, HEIGHT)):
                for x in range(0, width, ROW_CHUNK):
                    count = min(ROW_CHUNK, width - x)
                    locate(op, arena, y * width + x, count, windows, targets, residuals)
                    weights, first = load_word(op, WEIGHTS), 0
                    while first < channels:
                        group, window = _width(channels - first), load_word(windows, 0) + first
                        if group == 64:
                            row_64(window, taps, pixel, count, weights, sums)
                        elif group == 32:
                            row_32(window, taps, pixel, count, weights, sums)
                        else:
                            row_16(window, taps, pixel, count, weights, sums)
                        call_requantizer(load_word(op, REQUANTIZER), op, sums, 4 * group, count, first, group, targets,
                                         residuals)
                        weights += 12 * group
                        first += group

        return columns

    return build


def _codes(stride: int, narrow: Narrow) -> Callable[[], Callable[..., None]]:
    def build() -> Callable[..., None]:
        row_64, row_32, row_16 = (_codes_row(channels, stride, narrow) for channels in (64, 32, 16))
        fields = len(NARROW_FIELDS) * 4

        def codes(op, arena):
            count, channels, pixel = load_word(op, WIDTH), load_word(op, CHANNELS), load_word(op, RUN)
            taps, step = load_word(op, TAPS), load_word(op, TARGET_PIXEL)
            low, high = load_word(op, LOW), load_word(op, HIGH)
            for y in range(load_word(op, HEIGHT)):
                window = arena + load_word(op, SOURCE) + y * load_word(op, SOURCE_ROW)
                target = arena + load_word(op, TARGET) + y * load_word(op, TARGET_ROW)
                weights, parameters, first = load_word(op, WEIGHTS), load_word(op, PARAMETERS), 0
                while first < channels:
                    left = channels - first
                    group = _width(left)
                    if group == 64:
                        row_64(window, taps, pixel, count, weights, parameters, target, step, left, low, high)
                    elif group == 32:
                        row_32(window, taps, pixel, count, weights, parameters, target, step, left, low, high)
                    else:
                        row_16(window, taps, pixel, count, weights, parameters, target, step, left, low, high)
                    weights, parameters, first = weights + 12 * group, parameters + fields * group, first + group
                    window, target = window + group, target + group

        return codes

    return build


@njit(error_model="numpy")
def _width(left):
    """Return how many of the channels that are left are taken together."""
    return 64 if left >= 64 else 32 if left >= 32 else 16


INTERLEAVED = {KernelId("depthwise", "quads"): _quads, KernelId("depthwise", "columns", 1): _columns(1),
               KernelId("depthwise", "columns", 2): _columns(2)}
for _rounding in ("", "free"):
    _variant = requantizer_id("narrow", residual="", interleaved=True, rounding=_rounding).variant
    INTERLEAVED |= {KernelId("depthwise", _variant, stride): _codes(stride, Narrow(None, free=_rounding == "free"))
                    for stride in (1, 2)}
KERNELS = {KernelId("depthwise", "taps"): _taps, **INTERLEAVED}
NEEDS = dict.fromkeys(INTERLEAVED, "avx512")
