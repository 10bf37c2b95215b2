"""Winograd's convolution in exact integers, for windows of 3 x 3: fewer products, between sums of codes and of weights.

    rows_2    outputs 2 x 2 at a time from 4 x 4 codes: 16 products instead of 36
    rows_4    2 x 4 from 4 x 6: 24 instead of 72

The sums of codes are bytes, raised by 128 where they can be negative, and those of weights are signed bytes:
`sim.functional.engine.winograd` has proved that all fit. Each of the 16 or 24 places is a matrix product over the
channels of the input, weights being `[panel][place][quad][channel][4]`; from the products of a tile come its outputs
times 4 or 48, less what raising the codes added, `[panel][output][channel]`, which divide without a rest.

Tiles go beyond the map where it ends in one. Codes there are replaced by others of the map, as no output that is kept
depends on them, and outputs there are dropped.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba import njit

from sim.functional.kernels.abi import (
    CHANNELS,
    GROUP,
    GROUP_QUADS,
    HEIGHT,
    LANES,
    REQUANTIZER,
    RESIDUAL,
    RESIDUAL_PIXEL,
    RESIDUAL_ROW,
    RUN,
    SCRATCH,
    SOURCE,
    SOURCE_PIXEL,
    SOURCE_ROW,
    TAPS,
    TARGET,
    TARGET_PIXEL,
    TARGET_ROW,
    UNWANTED,
    WEIGHTS,
    WIDTH,
)
from sim.functional.kernels.dot_product import Vnni
from sim.functional.kernels.gemm_conv import multiply_tile
from sim.functional.kernels.llvm_builder import I8, I32, Code, emitted, number, vector
from sim.functional.kernels.op_call import call_requantizer
from sim.functional.kernels.op_view import integer, set_integer
from sim.functional.kernels.winograd_abi import (
    CORRECTIONS,
    LOW_ROWS,
    RAISED,
    ROW_BYTES,
    SHAPES,
    TALL,
    TILES,
    VECTORS,
    Shape,
)

__all__ = ["KERNELS", "NEEDS"]

THIRD = -1431655765
"""1 / 3 modulo 2**32."""


def _codes_2(code: Code, a: list[ir.Value]) -> list[ir.Value]:
    """Sums of four codes, for two outputs."""
    return [code.sub(a[0], a[2]), code.add(a[1], a[2]), code.sub(a[2], a[1]), code.sub(a[1], a[3])]


def _codes_4(code: Code, a: list[ir.Value]) -> list[ir.Value]:
    """Sums of six codes, for four outputs."""
    def twice(value: ir.Value) -> ir.Value:
        return code.add(value, value)

    two, four = [twice(value) for value in a], [twice(twice(value)) for value in a]
    odd, even = code.sub(a[3], four[1]), code.sub(a[4], four[2])
    wide, narrow = code.sub(two[3], two[1]), code.sub(a[4], a[2])
    return [code.add(code.sub(four[0], code.add(four[2], a[2])), a[4]), code.add(even, odd), code.sub(even, odd),
            code.add(narrow, wide), code.sub(narrow, wide),
            code.add(code.sub(four[1], code.add(four[3], a[3])), a[5])]


def _outputs_2(code: Code, a: list[ir.Value]) -> list[ir.Value]:
    """Two outputs, times 2, of four products."""
    return [code.add(code.add(a[0], a[1]), a[2]), code.sub(code.sub(a[1], a[2]), a[3])]


def _outputs_4(code: Code, a: list[ir.Value]) -> list[ir.Value]:
    """Four outputs, times 24, of six products."""
    def shifted(value: ir.Value, bits: int) -> ir.Value:
        return code.shl(value, number(bits, value.type))

    sum_1, difference_1, sum_2, difference_2 = (f(a[i], a[i + 1]) for i in (1, 3) for f in (code.add, code.sub))
    sum_4, difference_4 = shifted(sum_1, 2), shifted(difference_1, 2)
    first, last = (shifted(code.add(shifted(value, 1), value), bits) for value, bits in ((a[0], 1), (a[5], 3)))
    return [code.add(code.add(first, sum_4), sum_2), code.add(difference_4, shifted(difference_2, 1)),
            code.add(sum_4, shifted(sum_2, 2)), code.add(code.add(difference_4, shifted(difference_2, 3)), last)]


CODES, OUTPUTS = {2: _codes_2, 4: _codes_4}, {2: _outputs_2, 4: _outputs_4}


def _input(shape: Shape) -> Callable[..., int]:
    """Sums of 64 channels' codes of a tile, of which the first `rows` and `columns` are in the map."""
    height, width = shape.height + 2, shape.width + 2
    kind = vector(I8, 64)

    @emitted
    def transform(code: Code, window, row, pixel, rows, columns, target, place):
        def offset(i: int, step: ir.Value, count: ir.Value) -> ir.Value:
            inside = code.icmp_signed("<", number(i), count)
            return code.select(inside, code.mul(step, number(i)), number(0))

        across = [offset(x, pixel, columns) for x in range(width)]
        lines = [code.add(window, offset(y, row, rows)) for y in range(height)]
        by_column = [CODES[shape.height](code, [code.load(kind, code.add(line, x)) for line in lines])
                     for x in across]
        here = target
        for y in range(height):
            for x, value in enumerate(CODES[shape.width](code, [column[y] for column in by_column])):
                # The sum of four codes is the one that is never negative, and may take 8 bits.
                if shape.width != 2 or (y, x) != (1, 1):
                    value = code.xor(value, number(RAISED, kind))
                code.store(value, here)
                here = code.add(here, place)

    return transform


def _output(shape: Shape) -> Callable[..., int]:
    """Sums of GROUP channels of the outputs of a tile, a row for each."""
    width, kind = shape.width + 2, vector(I32, LANES)

    @emitted
    def transform(code: Code, products, place, corrections, sums):
        starts = [code.add(products, code.mul(place, number(i))) for i in range(shape.places)]
        for n in range(VECTORS):
            values = [code.load(kind, start, 64 * n) for start in starts]
            columns = [OUTPUTS[shape.height](code, values[x::width]) for x in range(width)]
            for y in range(shape.height):
                for x, value in enumerate(OUTPUTS[shape.width](code, [column[y] for column in columns])):
                    i = (y * shape.width + x) * ROW_BYTES + 64 * n
                    value = code.add(value, code.load(kind, corrections, i))
                    if shape.divisor == 48:
                        value = code.mul(code.ashr(value, number(4, kind)), number(THIRD, kind))
                    else:
                        value = code.ashr(value, number(2, kind))
                    code.store(value, sums, i)

    return transform


def _kernel(shape: Shape) -> Callable[[], Callable[..., None]]:
    def build() -> Callable[..., None]:
        dot = Vnni(LANES)
        tall_tile, low_tile = multiply_tile(dot, TALL, VECTORS), multiply_tile(dot, LOW_ROWS, VECTORS)
        input_transform, output_transform, locate = _input(shape), _output(shape), _locate(shape)
        places, outputs, tile_height, tile_width = shape.places, shape.outputs, shape.height, shape.width

        def winograd(op, arena):
            height, width, channels = integer(op, HEIGHT), integer(op, WIDTH), integer(op, CHANNELS)
            groups, taps, chunk = integer(op, RUN), integer(op, TAPS), integer(op, TILES)
            run = groups * GROUP_QUADS * 4
            row, pixel = integer(op, SOURCE_ROW), integer(op, SOURCE_PIXEL)
            across = (width + tile_width - 1) // tile_width
            tiles = (height + tile_height - 1) // tile_height * across
            windows = arena + integer(op, SCRATCH)
            targets = windows + 8 * (chunk + TALL)
            residuals = targets + 8 * chunk * outputs
            codes = residuals + 8 * chunk * outputs
            place = chunk * run + 64
            sums = codes + places * place
            products = sums + chunk * outputs * ROW_BYTES
            product_place = chunk * ROW_BYTES + 64
            for i in range(chunk + TALL):
                set_integer(windows, i, codes + min(i, chunk - 1) * run)
            start = 0
            while start < tiles:
                count = min(chunk, tiles - start)
                locate(op, arena, start, count, across, targets, residuals)
                for i in range(count):
                    y, x = (start + i) // across * tile_height, (start + i) % across * tile_width
                    window = arena + integer(op, SOURCE) + y * row + x * pixel
                    for first in range(0, run, 64):
                        input_transform(window + first, row, pixel, height + 2 - y, width + 2 - x,
                                        codes + i * run + first, place)
                weights, corrections = integer(op, WEIGHTS), integer(op, CORRECTIONS)
                for first in range(0, channels, GROUP):
                    for j in range(places):
                        done, here = 0, products + j * product_place
                        while count - done > 2 * LOW_ROWS:
                            tall_tile(windows + 8 * done, taps + 8 * j, 1, groups, weights, here + done * ROW_BYTES)
                            done += TALL
                        while done < count:
                            low_tile(windows + 8 * done, taps + 8 * j, 1, groups, weights, here + done * ROW_BYTES)
                            done += LOW_ROWS
                        weights += run * GROUP
                    for i in range(count):
                        output_transform(products + i * ROW_BYTES, product_place, corrections,
                                         sums + i * outputs * ROW_BYTES)
                    call_requantizer(integer(op, REQUANTIZER), op, sums, ROW_BYTES, count * outputs, first, GROUP,
                                     targets, residuals)
                    corrections += outputs * ROW_BYTES
                start += chunk

        return winograd

    return build


def _locate(shape: Shape) -> Callable[..., None]:
    """Addresses of the outputs of `count` tiles, and a place for those beyond the map."""
    tile_height, tile_width = shape.height, shape.width

    @njit(error_model="numpy")
    def locate(op, arena, start, count, across, targets, residuals):
        height, width, unwanted = integer(op, HEIGHT), integer(op, WIDTH), arena + integer(op, UNWANTED)
        i = 0
        for tile in range(start, start + count):
            top, left = tile // across * tile_height, tile % across * tile_width
            for y in range(top, top + tile_height):
                for x in range(left, left + tile_width):
                    wanted = y < height and x < width
                    target = integer(op, TARGET) + y * integer(op, TARGET_ROW) + x * integer(op, TARGET_PIXEL)
                    other = integer(op, RESIDUAL) + y * integer(op, RESIDUAL_ROW) + x * integer(op, RESIDUAL_PIXEL)
                    set_integer(targets, i, arena + target if wanted else unwanted)
                    set_integer(residuals, i, arena + other if wanted else unwanted)
                    i += 1

    return locate


KERNELS = {name: _kernel(shape) for name, shape in SHAPES.items()}
NEEDS = dict.fromkeys(KERNELS, "avx512")
