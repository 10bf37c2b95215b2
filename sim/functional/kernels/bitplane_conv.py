"""Dense convolution bit by bit: a product of two codes is a sum of ANDs of their bits, 32 channels to a lane.

The codes of the input are packed once: `[plane][pixel][word of 32 channels]`. After the planes, as far apart as there,
lie the sums of the codes of every pixel. Weights are offset binary, u = 0..2**bits - 1, in panels of GROUP channels,
`[panel][plane][piece][word][channel]`, so that every pair of planes counts with a power of two and

    sum(w * s) = (sum(u * s) << PRODUCT_SHIFT) - REFERENCE * sum(s)

A kernel is for codes of so many bits. The pairs of planes are taken by falling power: a step doubles the counts before
it, or does not, and adds the ones of its pair.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba import njit

from sim.functional.kernels.abi import (
    CHANNELS,
    CHUNK,
    GROUP,
    HEIGHT,
    INPUT,
    INPUT_CHANNELS,
    INPUT_PIXELS,
    LANES,
    LOW_TILE,
    PRODUCT_SHIFT,
    REFERENCE,
    REQUANTIZER,
    RUN,
    SCRATCH,
    SPARE_ROWS,
    STEP_COUNT,
    STEP_WORDS,
    STEPS,
    SUM_ROW_BYTES,
    TALL_TILE,
    TAP_COUNT,
    TAPS,
    TILE_VECTORS,
    WEIGHTS,
    WIDTH,
)
from sim.functional.kernels.kernel_id import KernelId
from sim.functional.kernels.llvm_builder import I8, I32, I64, Code, Loop, const, llvm_intrinsic, vector
from sim.functional.kernels.op_view import call_requantizer, load_word, locate, store_word

__all__ = ["KERNELS", "NEEDS"]


def _pack(channels: int, planes: int) -> Callable[..., int]:
    """Make the intrinsic that packs `channels` channels, those set in `valid`, of all pixels.

    Sums of codes begin with them, or go on with them if `again` is 1.
    """
    mask_kind, codes_kind = ir.IntType(channels), vector(I8, channels)

    @llvm_intrinsic
    def pack(code: Code, source, pixel_bytes, pixels, totals, packed, word_bytes, plane_bytes, valid, again):
        kept = code.trunc(valid, mask_kind) if channels < 64 else valid
        before = code.trunc(again, I32)
        loop = Loop(code, pixels, [source, totals, packed])
        here, pixel, place = loop.values
        codes = code.load(codes_kind, here)
        total = code.mul(code.load(I32, pixel), before)
        target = place
        for plane in range(planes):
            bits = code.and_(codes, const(1 << plane, codes_kind))
            mask = code.bitcast(code.icmp_unsigned("!=", bits, const(0, codes_kind)), mask_kind)
            mask = code.and_(mask, kept)
            code.store(mask, target)
            ones = code.call_intrinsic(f"llvm.ctpop.i{channels}", mask_kind, mask)
            ones = code.trunc(ones, I32) if channels > 32 else ones
            total = code.add(total, code.shl(ones, const(plane, I32)))
            target = code.add(target, plane_bytes)
        code.store(total, pixel)
        loop.close([code.add(here, pixel_bytes), code.add(pixel, word_bytes), code.add(place, word_bytes)])

    return pack


@llvm_intrinsic
def _sum(code: Code, place, count, distance):
    """Sum `count` int32 that lie `distance` bytes apart."""
    loop = Loop(code, count, [const(0, I32), place])
    total, here = loop.values
    total, _ = loop.close([code.add(total, code.load(I32, here)), code.add(here, distance)])
    return code.zext(total, I64)


def _tile(pixels: int) -> Callable[..., int]:
    """Make the intrinsic that writes the sums of `pixels` windows and GROUP channels as int32 rows."""
    kind = vector(I32, LANES)
    turn_bytes = SUM_ROW_BYTES

    @llvm_intrinsic
    def tile(code: Code, windows, references, taps, tap_count, run, weights, steps, step_count, raised, sums):
        bases = [code.load(I64, windows, 8 * m) for m in range(pixels)]
        outer = Loop(code, step_count, [const(0, kind)] * (pixels * TILE_VECTORS))
        step = code.add(steps, code.mul(outer.index, const(8 * STEP_WORDS)))
        shift = code.splat(code.trunc(code.load(I64, step), I32), LANES)
        plane, panel = code.load(I64, step, 8), code.add(weights, code.load(I64, step, 16))
        middle = Loop(code, tap_count, [*(code.shl(count, shift) for count in outer.values), panel])
        tap = code.add(plane, code.load(I64, code.add(taps, code.mul(middle.index, const(8)))))
        places = [code.add(base, tap) for base in bases]
        inner = Loop(code, run, middle.values)
        *counts, place = inner.values
        offset = code.mul(inner.index, const(4))
        across = [code.load(kind, place, 64 * n) for n in range(TILE_VECTORS)]
        for m in range(pixels):
            bits = code.splat(code.load(I32, code.add(places[m], offset)), LANES)
            for n in range(TILE_VECTORS):
                i = m * TILE_VECTORS + n
                counts[i] = code.add(counts[i], code.ctpop(code.and_(bits, across[n])))
        *counts, _ = middle.close(inner.close([*counts, code.add(place, const(turn_bytes))]))
        counts = outer.close(counts)
        raising = code.splat(code.trunc(raised, I32), LANES)
        for m in range(pixels):
            reference = code.splat(code.load(I32, references, 8 * m), LANES)
            for n in range(TILE_VECTORS):
                total = code.sub(code.shl(counts[m * TILE_VECTORS + n], raising), reference)
                code.store(total, sums, m * SUM_ROW_BYTES + 64 * n)

    return tile


@njit(error_model="numpy")
def _locate_windows(op, arena, start, count, windows, targets, residuals, references, totals, packed):
    """Write the addresses of `count` outputs, windows in the packed input, and what their sums are less of."""
    taps, tap_count, run = load_word(op, TAPS), load_word(op, TAP_COUNT), load_word(op, RUN)
    words = (load_word(op, INPUT_CHANNELS) + 31) // 32
    locate(op, arena, start, count, windows, targets, residuals)
    for i in range(count):
        offset = load_word(windows, i) - arena
        reference = 0
        for tap in range(tap_count):
            reference += _sum(totals + offset + load_word(taps, tap), run // words, 4 * words)
        store_word(references, i, load_word(op, REFERENCE) * reference)
        store_word(windows, i, packed + offset)
    for i in range(count, count + SPARE_ROWS):
        store_word(windows, i, load_word(windows, count - 1))


def _packer(planes: int) -> Callable[..., None]:
    """Make the function that packs the planes of all channels of the input, and sums the codes of every pixel."""
    pack_64, pack_32 = _pack(64, planes), _pack(32, planes)

    @njit(error_model="numpy")
    def pack_input(op, arena, packed, plane, totals):
        channels, pixels = load_word(op, INPUT_CHANNELS), load_word(op, INPUT_PIXELS)
        pixel_bytes = 4 * ((channels + 31) // 32)
        for first in range(0, channels, 64):
            source, place = arena + load_word(op, INPUT) + first, packed + first // 8
            left, again = channels - first, 1 if first > 0 else 0
            valid = -1 if left >= 64 else (1 << left) - 1
            if left > 32:
                pack_64(source, channels, pixels, totals, place, pixel_bytes, plane, valid, again)
            else:
                pack_32(source, channels, pixels, totals, place, pixel_bytes, plane, valid, again)

    return pack_input


def _multiplier() -> Callable[..., None]:
    """Make the function that sums `count` windows and a group of channels."""
    tall_tile, low_tile = _tile(TALL_TILE), _tile(LOW_TILE)

    @njit(error_model="numpy")
    def multiply(op, windows, references, count, weights, sums):
        taps, tap_count, run = load_word(op, TAPS), load_word(op, TAP_COUNT), load_word(op, RUN)
        steps, step_count, shift = load_word(op, STEPS), load_word(op, STEP_COUNT), load_word(op, PRODUCT_SHIFT)
        row = 0
        while count - row > 2 * LOW_TILE:
            tall_tile(windows + 8 * row, references + 8 * row, taps, tap_count, run, weights, steps, step_count, shift,
                      sums + row * SUM_ROW_BYTES)
            row += TALL_TILE
        while row < count:
            low_tile(windows + 8 * row, references + 8 * row, taps, tap_count, run, weights, steps, step_count, shift,
                     sums + row * SUM_ROW_BYTES)
            row += LOW_TILE

    return multiply


def _kernel(planes: int) -> Callable[[], Callable[..., None]]:
    def build() -> Callable[..., None]:
        pack_input, multiply = _packer(planes), _multiplier()

        def convolve(op, arena):
            pixels, channels = load_word(op, HEIGHT) * load_word(op, WIDTH), load_word(op, CHANNELS)
            panel_bytes = (load_word(op, STEP_COUNT) // planes * load_word(op, TAP_COUNT) * load_word(op, RUN)
                           * SUM_ROW_BYTES)
            windows = arena + load_word(op, SCRATCH)
            targets = windows + 8 * (CHUNK + SPARE_ROWS)
            residuals = targets + 8 * (CHUNK + SPARE_ROWS)
            references = residuals + 8 * (CHUNK + SPARE_ROWS)
            sums = references + 8 * (CHUNK + SPARE_ROWS)
            packed = sums + (CHUNK + SPARE_ROWS) * SUM_ROW_BYTES
            plane = load_word(op, INPUT_PIXELS) * ((load_word(op, INPUT_CHANNELS) + 31) // 32) * 4 + 64
            totals = packed + planes * plane
            pack_input(op, arena, packed, plane, totals)
            for start in range(0, pixels, CHUNK):
                count = min(CHUNK, pixels - start)
                _locate_windows(op, arena, start, count, windows, targets, residuals, references, totals, packed)
                weights = load_word(op, WEIGHTS)
                for first in range(0, channels, GROUP):
                    multiply(op, windows, references, count, weights, sums)
                    call_requantizer(load_word(op, REQUANTIZER), op, sums, SUM_ROW_BYTES, count, first, GROUP, targets,
                                     residuals)
                    weights += panel_bytes

        return convolve

    return build


KERNELS = {KernelId("bitplane_conv", "avx512", planes): _kernel(planes) for planes in range(1, 9)}
NEEDS = dict.fromkeys(KERNELS, "avx512")
