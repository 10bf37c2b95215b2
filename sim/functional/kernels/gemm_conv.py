"""Dense convolution as an implicit matrix product: no window is ever copied.

A window is TAP_COUNT pieces of memory, each RUN times GROUP_QUADS times four bytes; the weights are panels of as many
channels as a tile of sums is wide, `[panel][piece][quad][channel][4]`. A tile of sums, some pixels by some vectors of
channels, stays in registers while all pieces are added: four codes in memory are read once for all those vectors.

`quads` kernels are for windows of which no channel reads some bytes, as those of a first layer whose image was folded:
they are one piece, of which TAPS says where each four bytes are that are read.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

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
from sim.functional.kernels.kernel_id import KernelId
from sim.functional.kernels.llvm_builder import I32, I64, Code, Loop, const, llvm_intrinsic, vector
from sim.functional.kernels.op_view import call_requantizer, load_word, locate_spared

__all__ = ["FETCHED", "KERNELS", "NEEDS", "add_products", "multiply_tile"]

FETCHED = 4
"""Calls of a tile that together fetch as many weights, of those that are read next, as each of them reads."""
LINE_BYTES = 64
WIDE = {4: (6, 2), 3: (8, 2), 2: (12, 2), 1: (12, 2)}
SHAPES = {"avx512": WIDE, "quads": WIDE, "avx2": {2: (4, 1)}, "maddubs": {2: (4, 1)},
          "portable": {2: (4, 1)}}
"""Tile shapes by the vectors of a tile: its pixels, and those of the tile for the rest, as the registers allow."""


def add_products(code: Code, dot: Dot, shape: tuple[int, int], listed: bool,
                 places: tuple[ir.Value, ...]) -> list[ir.Value]:
    """Return the sums of a tile, vector by vector of each pixel.

    Meanwhile some of the weights are fetched that are read next.

    Parameters
    ----------
    code : Code
    dot : Dot
    shape : (pixels, vectors)
    listed : bool
        Whether every quad has a place of its own.
    places : tuple of ir.Value
        Address of those of the windows, of the places in them, how many there are of these, turns of each, the
        weights, and the address of weights that are read next.
    """
    (pixels, vectors), (windows, taps, tap_count, turns, weights, following) = shape, places
    kind, vector_bytes = vector(I32, dot.lanes), 4 * dot.lanes
    turn_bytes = GROUP_QUADS * vectors * vector_bytes
    bases = [code.load(I64, windows, 8 * m) for m in range(pixels)]
    outer = Loop(code, tap_count, [const(0, kind)] * (pixels * vectors) + [weights, following])
    tap = code.load(I64, code.add(taps, code.mul(outer.index, const(8))))
    pieces = [code.add(base, tap) for base in bases]
    inner = Loop(code, turns, outer.values)
    *totals, weight, ahead = inner.values
    for fetched in range(0, turn_bytes // FETCHED, LINE_BYTES):
        code.prefetch(ahead, fetched)
    offset = code.mul(inner.index, const(4 * GROUP_QUADS))
    for quad in range(GROUP_QUADS):
        if listed:
            place = code.load(I64, code.add(taps, code.mul(offset, const(2))), 8 * quad)
            fours = [code.load(I32, code.add(base, place)) for base in bases]
        else:
            fours = [code.load(I32, code.add(piece, offset), 4 * quad) for piece in pieces]
        across = [dot.weights(code, code.load(kind, weight, (quad * vectors + n) * vector_bytes))
                  for n in range(vectors)]
        for m, four in enumerate(fours):
            codes = dot.codes(code, code.splat(four, dot.lanes))
            for n in range(vectors):
                totals[m * vectors + n] = dot.add(code, totals[m * vectors + n], codes, across[n])
    further = code.add(weight, const(turn_bytes)), code.add(ahead, const(turn_bytes // FETCHED))
    return outer.close(inner.close([*totals, *further]))[:-2]


def multiply_tile(dot: Dot, pixels: int, vectors: int, *, listed: bool = False) -> Callable[..., int]:
    """Make the intrinsic that writes the sums of `pixels` windows and `vectors` vectors of channels as int32 rows."""
    @llvm_intrinsic
    def tile(code, windows, taps, tap_count, turns, weights, following, sums):
        totals = add_products(code, dot, (pixels, vectors), listed,
                              (windows, taps, tap_count, turns, weights, following))
        for i, total in enumerate(totals):
            code.store(total, sums, 4 * i * dot.lanes)

    return tile


def _kernel(way: str, vectors: int, tall: int, low: int) -> Callable[[], Callable[..., None]]:
    dot, listed = DOTS.get(way, DOTS["avx512"]), way == "quads"

    def build() -> Callable[..., None]:
        tall_tile, low_tile = (multiply_tile(dot, pixels, vectors, listed=listed) for pixels in (tall, low))
        block = vectors * dot.lanes
        row_bytes = 4 * block

        def multiply(op, arena):
            pixels, channels = load_word(op, HEIGHT) * load_word(op, WIDTH), load_word(op, CHANNELS)
            taps, tap_count, groups = load_word(op, TAPS), load_word(op, TAP_COUNT), load_word(op, RUN)
            windows = arena + load_word(op, SCRATCH)
            targets = windows + 8 * (CHUNK + SPARE_ROWS)
            residuals = targets + 8 * (CHUNK + SPARE_ROWS)
            sums = residuals + 8 * (CHUNK + SPARE_ROWS)
            weights = load_word(op, WEIGHTS)
            panel_bytes = tap_count * groups * GROUP_QUADS * 4 * block
            for first in range(0, channels, block):
                for start in range(0, pixels, CHUNK):
                    count = min(CHUNK, pixels - start)
                    locate_spared(op, arena, start, count, windows, targets, residuals)
                    row, following = 0, weights + panel_bytes
                    while count - row > 2 * low:
                        tall_tile(windows + 8 * row, taps, tap_count, groups, weights, following,
                                  sums + row * row_bytes)
                        row += tall
                        following += panel_bytes // FETCHED
                    while row < count:
                        low_tile(windows + 8 * row, taps, tap_count, groups, weights, following,
                                 sums + row * row_bytes)
                        row += low
                        following += panel_bytes // FETCHED
                    call_requantizer(load_word(op, REQUANTIZER), op, sums, row_bytes, count, first, block, targets,
                                     residuals)
                weights += panel_bytes

        return multiply

    return build


KERNELS = {KernelId("gemm_conv", way, vectors): _kernel(way, vectors, *pixels)
           for way, shapes in SHAPES.items() for vectors, pixels in shapes.items()}
NEEDS = {kernel: {"maddubs": "avx2", "quads": "avx512"}.get(kernel.variant, kernel.variant) for kernel in KERNELS}
