"""Dense convolution that requantizes its sums in the registers in which they were added up.

`sim.functional.kernels.gemm_conv` says what a window is, how the products are added, and what `quads` means. Groups of
64, 32 and 16 channels, as `sim.functional.engine.weights.group_widths` lists them, each have a tile of their own; the
weights are `[group][piece][quad][channel][4]`. Sums are requantized as by the narrow requantizer of the same name
(`sim.functional.kernels.requantizer`). All groups of PASS_CHANNELS channels see a chunk of windows one after the other.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba import njit

from sim.functional.kernels.abi import (
    CHANNELS,
    CHUNK,
    GROUP,
    GROUP_QUADS,
    HALF_GROUP,
    HEIGHT,
    HIGH,
    LANES,
    LOW,
    NARROW_FIELDS,
    PARAMETERS,
    PASS_CHANNELS,
    RUN,
    SCRATCH,
    SPARE_ROWS,
    TAP_COUNT,
    TAPS,
    WEIGHTS,
    WIDTH,
)
from sim.functional.kernels.dot_product import Vnni
from sim.functional.kernels.gemm_conv import FETCHED, add_products
from sim.functional.kernels.interleave import widened
from sim.functional.kernels.kernel_id import KernelId, requantizer_id
from sim.functional.kernels.llvm_builder import I32, I64, Code, llvm_intrinsic, vector
from sim.functional.kernels.op_view import load_word, locate_spared
from sim.functional.kernels.requantizer import Narrow, Residual, clamped_bytes, narrowed

__all__ = ["KERNELS", "NEEDS"]

TILES = {GROUP: (6, 2), HALF_GROUP: (12, 2), LANES: (12, 2)}
"""Pixels of the tile of a group, and of the tile for the rest."""
KIND = vector(I32, LANES)


def _tile(pixels: int, channels: int, narrow: Narrow, listed: bool) -> Callable[..., int]:
    """Make the intrinsic that computes and stores `channels` channels of `pixels` outputs, `count` of them if 16."""
    vectors = channels // LANES

    @llvm_intrinsic
    def tile(code, windows, taps, tap_count, turns, weights, following, parameters, targets, residuals, channel, count,
             low, high):
        sums = add_products(code, Vnni(LANES), (pixels, vectors), listed,
                            (windows, taps, tap_count, turns, weights, following))
        fields = [{name: code.load(KIND, parameters, 4 * (i * channels + n * LANES))
                   for i, name in enumerate(NARROW_FIELDS)} for n in range(vectors)]
        for m in range(pixels):
            others: list[ir.Value | None] = [None] * vectors
            if narrow.residual is not None:
                others = _residuals(code, narrow.residual, code.load(I64, residuals, 8 * m), channel, channels)
            values = [narrowed(code, total, other, field, narrow)
                      for total, other, field in zip(sums[m * vectors :], others, fields, strict=False)]
            place = code.add(code.load(I64, targets, 8 * m), channel)
            codes = clamped_bytes(code, _quarters(code, values), low, high)
            if channels == LANES:
                code.store_first(codes, count, place)
            else:
                code.store(codes, place)

    return tile


def _residuals(code: Code, residual: Residual, pixel: ir.Value, channel: ir.Value, channels: int) -> list[ir.Value]:
    """Return the codes of a pixel's residual in the lanes of the sums."""
    codes = residual.load(code, pixel, channel, channels)
    if channels == LANES:
        return [code.zext(codes, KIND)]
    quarters = widened(code, codes)
    if channels == GROUP:
        return quarters
    return [code.shuffle(a, b, list(range(LANES))) for a, b in (quarters[:2], quarters[2:])]


def _quarters(code: Code, values: list[ir.Value]) -> list[ir.Value]:
    """Return the results of a half group in four vectors, and those of other groups as they are."""
    if len(values) != HALF_GROUP // LANES:
        return values
    halves = list(range(LANES // 2)), list(range(LANES // 2, LANES))
    return [code.shuffle(value, value, half) for value in values for half in halves]


def _group(channels: int, narrow: Narrow, listed: bool) -> Callable[..., None]:
    """Make the function that computes a group of channels of `count` outputs."""
    tall, low = TILES[channels]
    tall_tile, low_tile = (_tile(pixels, channels, narrow, listed) for pixels in (tall, low))
    fields = len(NARROW_FIELDS) * 4

    @njit(error_model="numpy")
    def multiply(op, windows, targets, residuals, count, first, weights):
        taps, tap_count, turns = load_word(op, TAPS), load_word(op, TAP_COUNT), load_word(op, RUN)
        least, most, left = load_word(op, LOW), load_word(op, HIGH), load_word(op, CHANNELS) - first
        parameters = load_word(op, PARAMETERS) + first * fields
        panel_bytes = tap_count * turns * GROUP_QUADS * 4 * channels
        row, following = 0, weights + panel_bytes
        while count - row > 2 * low:
            tall_tile(windows + 8 * row, taps, tap_count, turns, weights, following, parameters, targets + 8 * row,
                      residuals + 8 * row, first, left, least, most)
            row += tall
            following += panel_bytes // FETCHED
        while row < count:
            low_tile(windows + 8 * row, taps, tap_count, turns, weights, following, parameters, targets + 8 * row,
                     residuals + 8 * row, first, left, least, most)
            row += low
            following += panel_bytes // FETCHED

    return multiply


def _kernel(narrow: Narrow, listed: bool) -> Callable[[], Callable[..., None]]:
    def build() -> Callable[..., None]:
        group_64, group_32, group_16 = (_group(channels, narrow, listed) for channels in TILES)

        def convolve(op, arena):
            pixels, channels = load_word(op, HEIGHT) * load_word(op, WIDTH), load_word(op, CHANNELS)
            channel_bytes = load_word(op, TAP_COUNT) * load_word(op, RUN) * GROUP_QUADS * 4
            windows = arena + load_word(op, SCRATCH)
            targets = windows + 8 * (CHUNK + SPARE_ROWS)
            residuals = targets + 8 * (CHUNK + SPARE_ROWS)
            for begin in range(0, channels, load_word(op, PASS_CHANNELS)):
                end = min(begin + load_word(op, PASS_CHANNELS), channels)
                for start in range(0, pixels, CHUNK):
                    count = min(CHUNK, pixels - start)
                    # What tiles compute beyond the last output is that output again.
                    locate_spared(op, arena, start, count, windows, targets, residuals)
                    first = begin
                    while first < end:
                        left, weights = end - first, load_word(op, WEIGHTS) + first * channel_bytes
                        if left >= GROUP:
                            group_64(op, windows, targets, residuals, count, first, weights)
                            first += GROUP
                        elif left >= HALF_GROUP:
                            group_32(op, windows, targets, residuals, count, first, weights)
                            first += HALF_GROUP
                        else:
                            group_16(op, windows, targets, residuals, count, first, weights)
                            first += LANES

        return convolve

    return build


KERNELS = {KernelId("fused_conv", ("quads_" if listed else "") + requantizer_id(
    "narrow", residual="" if residual is None else "residual", interleaved=True, rounding=rounding).variant):
    _kernel(Narrow(residual, free=rounding == "free"), listed)
    for residual in (None, Residual(pixel=False, gated=False)) for rounding in ("", "free") for listed in (False, True)}
NEEDS = dict.fromkeys(KERNELS, "avx512")
