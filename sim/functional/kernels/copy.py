"""Codes from the host's arrays into the arena, back, and from place to place.

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
from sim.functional.kernels.llvm_builder import I8, I32, I64, Code, Loop, emitted, number, vector
from sim.functional.kernels.op_view import integer

__all__ = ["KERNELS"]


@emitted
def _byte(code: Code, address):
    return code.zext(code.load(I8, address), I64)


@emitted
def _set_byte(code: Code, address, value):
    code.store(code.trunc(value, I8), address)


@emitted
def _word(code: Code, address):
    return code.sext(code.load(I32, address), I64)


@emitted
def _set_word(code: Code, address, value):
    code.store(code.trunc(value, I32), address)


@emitted
def _copy(code: Code, source, target, count):
    loop = Loop(code, count, [])
    code.store(code.load(I8, code.add(source, loop.index)), code.add(target, loop.index))
    loop.end([])


@emitted
def _set_tile(code: Code, source, plane, target, pixel, lowest):
    """16 pixels of four channels, whose planes are `plane` bytes apart."""
    rows = [code.load(vector(I8, 16), code.add(source, code.mul(plane, number(k)))) for k in range(4)]
    less = code.splat(code.trunc(lowest, I8), 16)
    for q, four in enumerate(interleaved(code, [code.sub(row, less) for row in rows])):
        for i in range(4):
            code.store(code.extract_element(four, number(i, I32)), code.add(target, code.mul(pixel, number(4 * q + i))))


def _enter() -> Callable[..., None]:
    def enter(op, arena):
        channels, height, width = integer(op, CHANNELS), integer(op, HEIGHT), integer(op, WIDTH)
        source = integer(arena, integer(op, HOST)) + integer(arena, IMAGE) * channels * height * width
        target, pixel, lowest = arena + integer(op, TARGET), integer(op, TARGET_PIXEL), integer(op, ZERO)
        plane = height * width
        for y in range(height):
            for c in range(channels):
                row, place = source + c * plane + y * width, target + y * integer(op, TARGET_ROW) + c
                first = 0
                if c < channels // 4 * 4:
                    first = width // 16 * 16
                    if c % 4 == 0:
                        for x in range(0, first, 16):
                            _set_tile(row + x, plane, place + x * pixel, pixel, lowest)
                for x in range(first, width):
                    _set_byte(place + x * pixel, _byte(row + x) - lowest)

    return enter


def _leave(wide: bool) -> Callable[[], Callable[..., None]]:
    size, read = (4, _word) if wide else (1, _byte)

    def build() -> Callable[..., None]:
        def leave(op, arena):
            channels, height, width = integer(op, CHANNELS), integer(op, HEIGHT), integer(op, WIDTH)
            target = integer(arena, integer(op, HOST)) + integer(arena, IMAGE) * channels * height * width * 4
            source, pixel, lowest = arena + integer(op, SOURCE), integer(op, SOURCE_PIXEL), integer(op, ZERO)
            for y in range(height):
                for c in range(channels):
                    row, place = source + y * integer(op, SOURCE_ROW) + c * size, target + (c * height + y) * width * 4
                    for x in range(width):
                        _set_word(place + 4 * x, read(row + x * pixel) + lowest)

        return leave

    return build


def _copy_rows() -> Callable[..., None]:
    def copy(op, arena):
        for y in range(integer(op, HEIGHT)):
            source = arena + integer(op, SOURCE) + y * integer(op, SOURCE_ROW)
            target = arena + integer(op, TARGET) + y * integer(op, TARGET_ROW)
            for x in range(integer(op, WIDTH)):
                _copy(source + x * integer(op, SOURCE_PIXEL), target + x * integer(op, TARGET_PIXEL), integer(op, RUN))

    return copy


KERNELS = {"enter": _enter, "leave_8": _leave(wide=False), "leave_32": _leave(wide=True), "copy": _copy_rows}
