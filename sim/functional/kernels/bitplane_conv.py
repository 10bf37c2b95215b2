"""Dense convolution bit by bit: a product of two codes is a sum of ANDs of their bits, 32 channels to a lane.

The codes of the input are packed once: `[plane][pixel][word of 32 channels]`. Behind the planes, as far apart as there,
lie the sums of the codes of every pixel. Weights are offset binary, u = 0..2**bits - 1, in panels of GROUP channels,
`[panel][plane][piece][word][channel]`, so that every pair of planes counts with a power of two and

    sum(w * s) = (sum(u * s) << RAISE) - REFERENCE * sum(s)

A kernel is for codes of so many bits. The pairs of planes are taken by falling power: a step doubles the counts before
it, or does not, and adds the ones of its pair.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from sim.functional.kernels.abi import (
    CHANNELS,
    CHUNK,
    GROUP,
    HEIGHT,
    LANES,
    REQUANTIZER,
    RUN,
    SCRATCH,
    SPARE_ROWS,
    TAP_COUNT,
    TAPS,
    WEIGHTS,
    WIDTH,
)
from sim.functional.kernels.bitplane_abi import (
    INPUT,
    INPUT_CHANNELS,
    INPUT_PIXELS,
    RAISE,
    REFERENCE,
    ROW_BYTES,
    STEP_COUNT,
    STEP_WORDS,
    STEPS,
)
from sim.functional.kernels.llvm_builder import I8, I32, I64, Code, Loop, emitted, number, vector
from sim.functional.kernels.op_call import call_requantizer
from sim.functional.kernels.op_view import integer, locate, set_integer

__all__ = ["KERNELS", "NEEDS"]

TALL, LOW_ROWS, VECTORS = 6, 2, GROUP // LANES


def _pack(channels: int, planes: int) -> Callable[..., int]:
    """Planes of `channels` channels, those set in `valid`, of all pixels; sums begin with them, or `again` go on."""
    mask_kind, codes_kind = ir.IntType(channels), vector(I8, channels)

    @emitted
    def pack(code: Code, source, pixel_bytes, pixels, totals, packed, word_bytes, plane_bytes, valid, again):
        kept = code.trunc(valid, mask_kind) if channels < 64 else valid
        before = code.trunc(again, I32)
        loop = Loop(code, pixels, [source, totals, packed])
        here, pixel, place = loop.values
        codes = code.load(codes_kind, here)
        total = code.mul(code.load(I32, pixel), before)
        target = place
        for plane in range(planes):
            bits = code.and_(codes, number(1 << plane, codes_kind))
            mask = code.bitcast(code.icmp_unsigned("!=", bits, number(0, codes_kind)), mask_kind)
            mask = code.and_(mask, kept)
            code.store(mask, target)
            ones = code.instruction(f"llvm.ctpop.i{channels}", mask_kind, mask)
            ones = code.trunc(ones, I32) if channels > 32 else ones
            total = code.add(total, code.shl(ones, number(plane, I32)))
            target = code.add(target, plane_bytes)
        code.store(total, pixel)
        loop.end([code.add(here, pixel_bytes), code.add(pixel, word_bytes), code.add(place, word_bytes)])

    return pack


@emitted
def _sum(code: Code, place, count, distance):
    """Of `count` int32 `distance` bytes apart."""
    loop = Loop(code, count, [number(0, I32), place])
    total, here = loop.values
    total, _ = loop.end([code.add(total, code.load(I32, here)), code.add(here, distance)])
    return code.zext(total, I64)


def _tile(pixels: int) -> Callable[..., int]:
    """Sums of `pixels` windows and GROUP channels, written as int32 rows."""
    kind = vector(I32, LANES)
    turn_bytes = VECTORS * LANES * 4

    @emitted
    def tile(code: Code, windows, references, taps, tap_count, run, weights, steps, step_count, raised, sums):
        bases = [code.load(I64, windows, 8 * m) for m in range(pixels)]
        outer = Loop(code, step_count, [number(0, kind)] * (pixels * VECTORS))
        step = code.add(steps, code.mul(outer.index, number(8 * STEP_WORDS)))
        shift = code.splat(code.trunc(code.load(I64, step), I32), LANES)
        plane, panel = code.load(I64, step, 8), code.add(weights, code.load(I64, step, 16))
        middle = Loop(code, tap_count, [*(code.shl(count, shift) for count in outer.values), panel])
        tap = code.add(plane, code.load(I64, code.add(taps, code.mul(middle.index, number(8)))))
        places = [code.add(base, tap) for base in bases]
        inner = Loop(code, run, middle.values)
        *counts, place = inner.values
        offset = code.mul(inner.index, number(4))
        across = [code.load(kind, place, 64 * n) for n in range(VECTORS)]
        for m in range(pixels):
            bits = code.splat(code.load(I32, code.add(places[m], offset)), LANES)
            for n in range(VECTORS):
                i = m * VECTORS + n
                counts[i] = code.add(counts[i], code.ones(code.and_(bits, across[n])))
        *counts, _ = middle.end(inner.end([*counts, code.add(place, number(turn_bytes))]))
        counts = outer.end(counts)
        raising = code.splat(code.trunc(raised, I32), LANES)
        for m in range(pixels):
            reference = code.splat(code.load(I32, references, 8 * m), LANES)
            for n in range(VECTORS):
                total = code.sub(code.shl(counts[m * VECTORS + n], raising), reference)
                code.store(total, sums, m * ROW_BYTES + 64 * n)

    return tile


def _kernel(planes: int) -> Callable[[], Callable[..., None]]:
    def build() -> Callable[..., None]:
        pack_64, pack_32, tall_tile, low_tile = _pack(64, planes), _pack(32, planes), _tile(TALL), _tile(LOW_ROWS)

        def convolve(op, arena):
            pixels, channels = integer(op, HEIGHT) * integer(op, WIDTH), integer(op, CHANNELS)
            taps, tap_count, run = integer(op, TAPS), integer(op, TAP_COUNT), integer(op, RUN)
            input_channels, input_pixels = integer(op, INPUT_CHANNELS), integer(op, INPUT_PIXELS)
            steps, step_count, raised = integer(op, STEPS), integer(op, STEP_COUNT), integer(op, RAISE)
            panel_bytes = step_count // planes * tap_count * run * ROW_BYTES
            words = (input_channels + 31) // 32
            windows = arena + integer(op, SCRATCH)
            targets = windows + 8 * (CHUNK + SPARE_ROWS)
            residuals = targets + 8 * (CHUNK + SPARE_ROWS)
            references = residuals + 8 * (CHUNK + SPARE_ROWS)
            sums = references + 8 * (CHUNK + SPARE_ROWS)
            packed = sums + (CHUNK + SPARE_ROWS) * ROW_BYTES
            plane = input_pixels * words * 4 + 64
            totals = packed + planes * plane
            for first in range(0, input_channels, 64):
                source, place = arena + integer(op, INPUT) + first, packed + first // 8
                left, again = input_channels - first, 1 if first > 0 else 0
                valid = -1 if left >= 64 else (1 << left) - 1
                if left > 32:
                    pack_64(source, input_channels, input_pixels, totals, place, 4 * words, plane, valid, again)
                else:
                    pack_32(source, input_channels, input_pixels, totals, place, 4 * words, plane, valid, again)
            for start in range(0, pixels, CHUNK):
                count = min(CHUNK, pixels - start)
                locate(op, arena, start, count, windows, targets, residuals)
                for i in range(count):
                    offset = integer(windows, i) - arena
                    reference = 0
                    for tap in range(tap_count):
                        reference += _sum(totals + offset + integer(taps, tap), run // words, 4 * words)
                    set_integer(references, i, integer(op, REFERENCE) * reference)
                    set_integer(windows, i, packed + offset)
                for i in range(count, count + SPARE_ROWS):
                    set_integer(windows, i, integer(windows, count - 1))
                weights = integer(op, WEIGHTS)
                for first in range(0, channels, GROUP):
                    row = 0
                    while count - row > 2 * LOW_ROWS:
                        tall_tile(windows + 8 * row, references + 8 * row, taps, tap_count, run, weights, steps,
                                  step_count, raised, sums + row * ROW_BYTES)
                        row += TALL
                    while row < count:
                        low_tile(windows + 8 * row, references + 8 * row, taps, tap_count, run, weights, steps,
                                 step_count, raised, sums + row * ROW_BYTES)
                        row += LOW_ROWS
                    call_requantizer(integer(op, REQUANTIZER), op, sums, ROW_BYTES, count, first, GROUP, targets,
                                     residuals)
                    weights += panel_bytes

        return convolve

    return build


KERNELS = {f"avx512_{planes}": _kernel(planes) for planes in range(1, 9)}
NEEDS = dict.fromkeys(KERNELS, "avx512")
