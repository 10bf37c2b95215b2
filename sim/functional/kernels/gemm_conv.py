"""Dense convolution as an implicit matrix product: no window is ever copied.

A window is TAP_COUNT pieces of memory, each RUN times GROUP_QUADS times four bytes; the weights are panels of as many
channels as a tile of sums is wide, `[panel][piece][quad][channel][4]`. A tile of sums, some pixels by some vectors of
channels, stays in registers while all pieces are added: four codes in memory are read once for all those vectors.
"""

from __future__ import annotations

from collections.abc import Callable

from sim.functional.kernels.abi import (
    CHANNELS,
    CHUNK,
    GROUP_QUADS,
    HEIGHT,
    REQUANTIZER,
    RUN,
    SCRATCH,
    SPARE_ROWS,
    TAP_COUNT,
    TAPS,
    WEIGHTS,
    WIDTH,
)
from sim.functional.kernels.dot_product import DOTS, Dot
from sim.functional.kernels.llvm_builder import I32, I64, Loop, emitted, number, vector
from sim.functional.kernels.op_call import call_requantizer
from sim.functional.kernels.op_view import integer, locate, set_integer

__all__ = ["KERNELS"]

SHAPES = {"avx512": {4: (6, 2), 3: (8, 2), 2: (12, 2), 1: (12, 2)}, "avx2": {2: (4, 1)}, "maddubs": {2: (4, 1)},
          "portable": {2: (4, 1)}}
"""Vectors of a tile: its pixels, and those of the tile for the rest, as the registers allow."""
SCRATCH_BYTES = (CHUNK + SPARE_ROWS) * (3 * 8 + 64 * 4)


def shape_of(name: str) -> tuple[Dot, int, int, int]:
    """The dot product, vectors, pixels and pixels of the rest of `<isa>_<vectors>`."""
    isa, _, vectors = name.partition("_")
    return DOTS[isa], int(vectors), *SHAPES[isa][int(vectors)]


def multiply_tile(dot: Dot, pixels: int, vectors: int) -> Callable[..., int]:
    """Sums of `pixels` windows and `vectors` vectors of channels, written as int32 rows."""
    kind = vector(I32, dot.lanes)
    vector_bytes = 4 * dot.lanes

    @emitted
    def tile(code, windows, taps, tap_count, groups, weights, sums):
        bases = [code.load(I64, windows, 8 * m) for m in range(pixels)]
        outer = Loop(code, tap_count, [number(0, kind)] * (pixels * vectors) + [weights])
        tap = code.load(I64, code.add(taps, code.mul(outer.index, number(8))))
        places = [code.add(base, tap) for base in bases]
        inner = Loop(code, groups, outer.values)
        *totals, place = inner.values
        offset = code.mul(inner.index, number(4 * GROUP_QUADS))
        for quad in range(GROUP_QUADS):
            first = quad * vectors
            across = [dot.weights(code, code.load(kind, place, (first + n) * vector_bytes)) for n in range(vectors)]
            for m in range(pixels):
                four = code.load(I32, code.add(places[m], offset), 4 * quad)
                codes = dot.codes(code, code.splat(four, dot.lanes))
                for n in range(vectors):
                    totals[m * vectors + n] = dot.add(code, totals[m * vectors + n], codes, across[n])
        totals = outer.end(inner.end([*totals, code.add(place, number(GROUP_QUADS * vectors * vector_bytes))]))
        for i, total in enumerate(totals[:-1]):
            code.store(total, sums, i * vector_bytes)

    return tile


def _kernel(name: str) -> Callable[[], Callable[..., None]]:
    def build() -> Callable[..., None]:
        dot, vectors, tall, low = shape_of(name)
        tall_tile, low_tile = multiply_tile(dot, tall, vectors), multiply_tile(dot, low, vectors)
        block = vectors * dot.lanes
        row_bytes = 4 * block

        def multiply(op, arena):
            pixels, channels = integer(op, HEIGHT) * integer(op, WIDTH), integer(op, CHANNELS)
            taps, tap_count, groups = integer(op, TAPS), integer(op, TAP_COUNT), integer(op, RUN)
            windows = arena + integer(op, SCRATCH)
            targets = windows + 8 * (CHUNK + SPARE_ROWS)
            residuals = targets + 8 * (CHUNK + SPARE_ROWS)
            sums = residuals + 8 * (CHUNK + SPARE_ROWS)
            weights = integer(op, WEIGHTS)
            for first in range(0, channels, block):
                for start in range(0, pixels, CHUNK):
                    count = min(CHUNK, pixels - start)
                    locate(op, arena, start, count, windows, targets, residuals)
                    for i in range(count, count + SPARE_ROWS):
                        set_integer(windows, i, integer(windows, count - 1))
                    row = 0
                    while count - row > 2 * low:
                        tall_tile(windows + 8 * row, taps, tap_count, groups, weights, sums + row * row_bytes)
                        row += tall
                    while row < count:
                        low_tile(windows + 8 * row, taps, tap_count, groups, weights, sums + row * row_bytes)
                        row += low
                    call_requantizer(integer(op, REQUANTIZER), op, sums, row_bytes, count, first, block, targets,
                                     residuals)
                weights += tap_count * groups * GROUP_QUADS * 4 * block

        return multiply

    return build


KERNELS = {f"{isa}_{vectors}": _kernel(f"{isa}_{vectors}") for isa, shapes in SHAPES.items() for vectors in shapes}
NEEDS = {name: "avx2" if name.startswith("maddubs") else name.partition("_")[0] for name in KERNELS}
