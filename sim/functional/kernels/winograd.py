"""Winograd's convolution in exact integers, for 3 x 3 windows: fewer products, between sums of codes and of weights.

    rows_2     outputs 2 x 2 at a time from 4 x 4 codes: 16 products instead of 36
    rows_4     2 x 4 from 4 x 6: 24 instead of 72
    squares_4  4 x 4 from 6 x 6: 36 instead of 144, each of which takes twice as long as one of bytes

The sums of codes are bytes, raised by 128 where they can be negative, and those of weights are signed bytes; of
`squares_4` both have 16 bits. `sim.functional.engine.winograd` has proved that all fit. Each of the 16, 24 or 36 places
is a matrix product over the channels of the input, weights being `[panel][place][lane of 32 bits][channel][4 or 2]`;
from the products of a tile come its outputs times 4, 48 or 576, less what raising the codes added,
`[panel][output][channel]`. Multiplied by the inverse of the odd part of that number modulo 2**32, and shifted right by
the rest, they are the outputs.

Tiles go beyond the map where it ends in one. Codes there are replaced by others of the map, as no output that is kept
depends on them, and outputs there are dropped.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba import njit

from sim.functional.kernels.abi import (
    CHANNELS,
    CODE_OFFSET,
    CORRECTIONS,
    GROUP,
    GROUP_QUADS,
    HEIGHT,
    LANES,
    LOW_TILE,
    REQUANTIZER,
    RESIDUAL,
    RESIDUAL_PIXEL,
    RESIDUAL_ROW,
    RUN,
    SCRATCH,
    SOURCE,
    SOURCE_PIXEL,
    SOURCE_ROW,
    SUM_ROW_BYTES,
    TALL_TILE,
    TAPS,
    TARGET,
    TARGET_PIXEL,
    TARGET_ROW,
    TILE_VECTORS,
    TILES,
    UNWANTED,
    WEIGHTS,
    WIDTH,
    WINOGRAD_TILES,
    WinogradTile,
)
from sim.functional.kernels.dot_product import Vnni, Words
from sim.functional.kernels.gemm_conv import FETCHED, multiply_tile
from sim.functional.kernels.llvm_builder import I8, I16, I32, Code, Loop, const, llvm_intrinsic, vector
from sim.functional.kernels.op_view import call_requantizer, load_word, store_word

__all__ = ["KERNELS", "NEEDS"]


def _codes_2(code: Code, a: list[ir.Value]) -> list[ir.Value]:
    """Return sums of four codes, for two outputs."""
    return [code.sub(a[0], a[2]), code.add(a[1], a[2]), code.sub(a[2], a[1]), code.sub(a[1], a[3])]


def _codes_4(code: Code, a: list[ir.Value]) -> list[ir.Value]:
    """Return sums of six codes, for four outputs."""
    def twice(value: ir.Value) -> ir.Value:
        return code.add(value, value)

    two, four = [twice(value) for value in a], [twice(twice(value)) for value in a]
    odd, even = code.sub(a[3], four[1]), code.sub(a[4], four[2])
    wide, narrow = code.sub(two[3], two[1]), code.sub(a[4], a[2])
    return [code.add(code.sub(four[0], code.add(four[2], a[2])), a[4]), code.add(even, odd), code.sub(even, odd),
            code.add(narrow, wide), code.sub(narrow, wide),
            code.add(code.sub(four[1], code.add(four[3], a[3])), a[5])]


def _outputs_2(code: Code, a: list[ir.Value]) -> list[ir.Value]:
    """Return two outputs, times 2, of four products."""
    return [code.add(code.add(a[0], a[1]), a[2]), code.sub(code.sub(a[1], a[2]), a[3])]


def _outputs_4(code: Code, a: list[ir.Value]) -> list[ir.Value]:
    """Return four outputs, times 24, of six products."""
    def shifted(value: ir.Value, bits: int) -> ir.Value:
        return code.shl(value, const(bits, value.type))

    sum_1, difference_1, sum_2, difference_2 = (f(a[i], a[i + 1]) for i in (1, 3) for f in (code.add, code.sub))
    sum_4, difference_4 = shifted(sum_1, 2), shifted(difference_1, 2)
    first, last = (shifted(code.add(shifted(value, 1), value), bits) for value, bits in ((a[0], 1), (a[5], 3)))
    return [code.add(code.add(first, sum_4), sum_2), code.add(difference_4, shifted(difference_2, 1)),
            code.add(sum_4, shifted(sum_2, 2)), code.add(code.add(difference_4, shifted(difference_2, 3)), last)]


CODES, OUTPUTS = {2: _codes_2, 4: _codes_4}, {2: _outputs_2, 4: _outputs_4}


def _input(tile: WinogradTile) -> Callable[..., int]:
    """Make the intrinsic that fills 64 bytes of every place with sums of a tile's codes.

    The first `rows` and `columns` of them are in the map.
    """
    height, width = tile.height + 2, tile.width + 2
    kind = vector(I8, 64) if tile.code_bytes == 1 else vector(I16, 32)
    stored = vector(I8, kind.count)

    @llvm_intrinsic
    def transform(code: Code, window, row, pixel, rows, columns, target, place):
        def offset(i: int, step: ir.Value, count: ir.Value) -> ir.Value:
            inside = code.icmp_signed("<", const(i), count)
            return code.select(inside, code.mul(step, const(i)), const(0))

        across = [offset(x, pixel, columns) for x in range(width)]
        lines = [code.add(window, offset(y, row, rows)) for y in range(height)]
        def codes(place: ir.Value) -> ir.Value:
            loaded = code.load(stored, place)
            return loaded if stored == kind else code.zext(loaded, kind)

        by_column = [CODES[tile.height](code, [codes(code.add(line, x)) for line in lines]) for x in across]
        here = target
        for y in range(height):
            for x, value in enumerate(CODES[tile.width](code, [column[y] for column in by_column])):
                # The sum of four codes is the one that is never negative, and may take 8 bits.
                if tile.code_bytes == 1 and (tile.width != 2 or (y, x) != (1, 1)):
                    value = code.xor(value, const(CODE_OFFSET, kind))
                code.store(value, here)
                here = code.add(here, place)

    return transform


def _output(tile: WinogradTile) -> Callable[..., int]:
    """Make the intrinsic that sums GROUP channels of the outputs of a tile, a row for each."""
    width, kind, odd = tile.width + 2, vector(I32, LANES), tile.divisor >> tile.doublings

    @llvm_intrinsic
    def transform(code: Code, products, place, corrections, sums):
        loop = Loop(code, const(TILE_VECTORS), [products, corrections, sums])
        start, correction, target = loop.values
        values = [code.load(kind, code.add(start, code.mul(place, const(i)))) for i in range(tile.places)]
        columns = [OUTPUTS[tile.height](code, values[x::width]) for x in range(width)]
        for y in range(tile.height):
            for x, value in enumerate(OUTPUTS[tile.width](code, [column[y] for column in columns])):
                i = (y * tile.width + x) * SUM_ROW_BYTES
                if tile.code_bytes == 1:
                    value = code.add(value, code.load(kind, correction, i))
                if odd > 1:
                    value = code.mul(value, const(pow(odd, -1, 1 << 32), kind))
                code.store(code.ashr(value, const(tile.doublings, kind)), target, i)
        loop.close([code.add(address, const(4 * LANES)) for address in loop.values])

    return transform


def _locate(tile: WinogradTile) -> Callable[..., None]:
    """Make the function that writes the addresses of the outputs of `count` tiles, or a place for those off the map."""
    tile_height, tile_width = tile.height, tile.width

    @njit(error_model="numpy")
    def locate(op, arena, start, count, across, targets, residuals):
        height, width, unwanted = load_word(op, HEIGHT), load_word(op, WIDTH), arena + load_word(op, UNWANTED)
        target_row, target_pixel = load_word(op, TARGET_ROW), load_word(op, TARGET_PIXEL)
        other_row, other_pixel = load_word(op, RESIDUAL_ROW), load_word(op, RESIDUAL_PIXEL)
        i = 0
        for number in range(start, start + count):
            top, left = number // across * tile_height, number % across * tile_width
            for y in range(top, top + tile_height):
                for x in range(left, left + tile_width):
                    wanted = y < height and x < width
                    target = load_word(op, TARGET) + y * target_row + x * target_pixel
                    other = load_word(op, RESIDUAL) + y * other_row + x * other_pixel
                    store_word(targets, i, arena + target if wanted else unwanted)
                    store_word(residuals, i, arena + other if wanted else unwanted)
                    i += 1

    return locate


def _reader(tile: WinogradTile) -> Callable[..., None]:
    """Make the function that sums the codes of `count` tiles from `start` on."""
    input_transform, tile_height, tile_width, code_bytes = _input(tile), tile.height, tile.width, tile.code_bytes

    @njit(error_model="numpy")
    def read(op, arena, start, count, across, codes, place):
        height, width, run = load_word(op, HEIGHT), load_word(op, WIDTH), load_word(op, RUN) * GROUP_QUADS * 4
        row, pixel = load_word(op, SOURCE_ROW), load_word(op, SOURCE_PIXEL)
        for i in range(count):
            y, x = (start + i) // across * tile_height, (start + i) % across * tile_width
            window = arena + load_word(op, SOURCE) + y * row + x * pixel
            for first in range(0, run, 64):
                input_transform(window + first // code_bytes, row, pixel, height + 2 - y, width + 2 - x,
                                codes + i * run + first, place)

    return read


def _multiplier(tile: WinogradTile) -> Callable[..., None]:
    """Make the function that computes the outputs of `count` tiles and a group of channels."""
    dot = Vnni(LANES) if tile.code_bytes == 1 else Words(LANES)
    tall_tile, low_tile = multiply_tile(dot, TALL_TILE, TILE_VECTORS), multiply_tile(dot, LOW_TILE, TILE_VECTORS)
    output_transform, places, outputs = _output(tile), tile.places, tile.outputs

    @njit(error_model="numpy")
    def multiply(op, windows, count, weights, corrections, products, place, sums):
        taps, groups = load_word(op, TAPS), load_word(op, RUN)
        place_bytes = groups * GROUP_QUADS * 4 * GROUP
        for j in range(places):
            done, here, following = 0, products + j * place, weights + place_bytes
            while count - done > 2 * LOW_TILE:
                tall_tile(windows + 8 * done, taps + 8 * j, 1, groups, weights, following, here + done * SUM_ROW_BYTES)
                done += TALL_TILE
                following += place_bytes // FETCHED
            while done < count:
                low_tile(windows + 8 * done, taps + 8 * j, 1, groups, weights, following, here + done * SUM_ROW_BYTES)
                done += LOW_TILE
                following += place_bytes // FETCHED
            weights += place_bytes
        for i in range(count):
            output_transform(products + i * SUM_ROW_BYTES, place, corrections, sums + i * outputs * SUM_ROW_BYTES)

    return multiply


def _kernel(tile: WinogradTile) -> Callable[[], Callable[..., None]]:
    def build() -> Callable[..., None]:
        locate, read, multiply = _locate(tile), _reader(tile), _multiplier(tile)
        places, outputs, tile_height, tile_width = tile.places, tile.outputs, tile.height, tile.width

        def winograd(op, arena):
            channels, chunk, run = load_word(op, CHANNELS), load_word(op, TILES), load_word(op, RUN) * GROUP_QUADS * 4
            across = (load_word(op, WIDTH) + tile_width - 1) // tile_width
            tiles = (load_word(op, HEIGHT) + tile_height - 1) // tile_height * across
            windows = arena + load_word(op, SCRATCH)
            targets = windows + 8 * (chunk + TALL_TILE)
            residuals = targets + 8 * chunk * outputs
            codes = residuals + 8 * chunk * outputs
            place = chunk * run + 64
            sums = codes + places * place
            products = sums + chunk * outputs * SUM_ROW_BYTES
            for i in range(chunk + TALL_TILE):
                store_word(windows, i, codes + min(i, chunk - 1) * run)
            start = 0
            while start < tiles:
                count = min(chunk, tiles - start)
                locate(op, arena, start, count, across, targets, residuals)
                read(op, arena, start, count, across, codes, place)
                weights, corrections = load_word(op, WEIGHTS), load_word(op, CORRECTIONS)
                for first in range(0, channels, GROUP):
                    multiply(op, windows, count, weights, corrections, products, chunk * SUM_ROW_BYTES + 64, sums)
                    call_requantizer(load_word(op, REQUANTIZER), op, sums, SUM_ROW_BYTES, count * outputs, first, GROUP,
                                     targets, residuals)
                    weights += places * run * GROUP
                    corrections += outputs * SUM_ROW_BYTES
                start += chunk

        return winograd

    return build


KERNELS = {kernel: _kernel(tile) for kernel, tile in WINOGRAD_TILES.items()}
NEEDS = dict.fromkeys(KERNELS, "avx512")
