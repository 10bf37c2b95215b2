"""Copy codes from the host's arrays into the arena, back, and from place to place; map them by a table where they lie.

The host's arrays are (N, channels, height, width), those of the arena (height, width, channels) with unsigned codes:
what is stored is the code less the smallest of its format.
"""

from __future__ import annotations

from collections.abc import Callable

from sim.functional.kernels.abi import (
    CHANNELS,
    HEIGHT,
    HOST,
    IMAGE,
    PARAMETERS,
    RUN,
    SOURCE,
    SOURCE_PIXEL,
    SOURCE_ROW,
    TARGET,
    TARGET_PIXEL,
    TARGET_ROW,
    WIDTH,
    ZERO,
)
from sim.functional.kernels.interleave import interleaved
from sim.functional.kernels.kernel_id import KernelId
from sim.functional.kernels.llvm_builder import I8, I32, I64, Code, Loop, const, llvm_intrinsic, vector
from sim.functional.kernels.op_view import load_word

__all__ = ["KERNELS"]


@llvm_intrinsic
def _byte(code: Code, address):
    return code.zext(code.load(I8, address), I64)


@llvm_intrinsic
def _set_byte(code: Code, address, value):
    code.store(code.trunc(value, I8), address)


@llvm_intrinsic
def _word(code: Code, address):
    return code.sext(code.load(I32, address), I64)


@llvm_intrinsic
def _set_word(code: Code, address, value):
    code.store(code.trunc(value, I32), address)


@llvm_intrinsic
def _copy(code: Code, source, target, count):
    loop = Loop(code, count, [])
    code.store(code.load(I8, code.add(source, loop.index)), code.add(target, loop.index))
    loop.close([])


@llvm_intrinsic
def _map(code: Code, table, target, count):
    loop = Loop(code, count, [])
    place = code.add(target, loop.index)
    code.store(code.load(I8, code.add(table, code.zext(code.load(I8, place), I64))), place)
    loop.close([])


@llvm_intrinsic
def _set_tile(code: Code, source, plane, target, pixel, lowest):
    """Store 16 pixels of four channels, whose planes are `plane` bytes apart."""
    rows = [code.load(vector(I8, 16), code.add(source, code.mul(plane, const(k)))) for k in range(4)]
    less = code.splat(code.trunc(lowest, I8), 16)
    for q, four in enumerate(interleaved(code, [code.sub(row, less) for row in rows])):
        for i in range(4):
            code.store(code.extract_element(four, const(i, I32)), code.add(target, code.mul(pixel, const(4 * q + i))))


def _enter() -> Callable[..., None]:
    def enter(op, arena):
        channels, height, width = load_word(op, CHANNELS), load_word(op, HEIGHT), load_word(op, WIDTH)
        source = load_word(arena, load_word(op, HOST)) + load_word(arena, IMAGE) * channels * height * width
        target, pixel, lowest = arena + load_word(op, TARGET), load_word(op, TARGET_PIXEL), load_word(op, ZERO)
        plane = height * width
        for y in range(height):
            for c in range(channels):
                row, place = source + c * plane + y * width, target + y * load_word(op, TARGET_ROW) + c
                first = 0
                if width >= 16 and c < channels // 4 * 4:
                    first = width
                    if c % 4 == 0:
                        for start in range(0, width, 16):
                            x = min(start, width - 16)  # the last tile may overlap the one before
                            _set_tile(row + x, plane, place + x * pixel, pixel, lowest)
                for x in range(first, width):
                    _set_byte(place + x * pixel, _byte(row + x) - lowest)

    return enter


def _leave(wide: bool) -> Callable[[], Callable[..., None]]:
    size, read = (4, _word) if wide else (1, _byte)

    def build() -> Callable[..., None]:
        def leave(op, arena):
            channels, height, width = load_word(op, CHANNELS), load_word(op, HEIGHT), load_word(op, WIDTH)
            target = load_word(arena, load_word(op, HOST)) + load_word(arena, IMAGE) * channels * height * width * 4
            source, pixel, lowest = arena + load_word(op, SOURCE), load_word(op, SOURCE_PIXEL), load_word(op, ZERO)
            for y in range(height):
                for c in range(channels):
                    row = source + y * load_word(op, SOURCE_ROW) + c * size
                    place = target + (c * height + y) * width * 4
                    for x in range(width):
                        _set_word(place + 4 * x, read(row + x * pixel) + lowest)

        return leave

    return build


def _copy_rows() -> Callable[..., None]:
    def copy(op, arena):
        for y in range(load_word(op, HEIGHT)):
            source = arena + load_word(op, SOURCE) + y * load_word(op, SOURCE_ROW)
            target = arena + load_word(op, TARGET) + y * load_word(op, TARGET_ROW)
            for x in range(load_word(op, WIDTH)):
                _copy(source + x * load_word(op, SOURCE_PIXEL), target + x * load_word(op, TARGET_PIXEL),
                      load_word(op, RUN))

    return copy


def _map_rows() -> Callable[..., None]:
    def look_up(op, arena):
        table = load_word(op, PARAMETERS)
        for y in range(load_word(op, HEIGHT)):
            target = arena + load_word(op, TARGET) + y * load_word(op, TARGET_ROW)
            for x in range(load_word(op, WIDTH)):
                _map(table, target + x * load_word(op, TARGET_PIXEL), load_word(op, RUN))

    return look_up


KERNELS = {KernelId("copy", "enter"): _enter, KernelId("copy", "leave", 8): _leave(wide=False),
           KernelId("copy", "leave", 32): _leave(wide=True), KernelId("copy", "copy"): _copy_rows,
           KernelId("copy", "table"): _map_rows}
