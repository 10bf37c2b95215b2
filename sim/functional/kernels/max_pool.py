"""Max pooling of stored codes; positions outside the map are left out, so no padding has to lose."""

from __future__ import annotations

from collections.abc import Callable

from sim.functional.kernels.abi import (
    CHANNELS,
    HEIGHT,
    POOL_BOTTOM,
    POOL_HEIGHT,
    POOL_LEFT,
    POOL_RIGHT,
    POOL_STRIDE,
    POOL_TOP,
    POOL_WIDTH,
    SOURCE,
    SOURCE_PIXEL,
    SOURCE_ROW,
    TARGET,
    TARGET_PIXEL,
    TARGET_ROW,
    WIDTH,
)
from sim.functional.kernels.llvm_builder import I8, Code, Loop, emitted, number, vector
from sim.functional.kernels.op_view import integer

__all__ = ["KERNELS"]


def _largest(lanes: int) -> Callable[..., int]:
    @emitted
    def largest(code: Code, window, rows, row_bytes, columns, pixel_bytes, target, count):
        """The largest of rows * columns pixels, for `count` channels, at most `lanes`."""
        outer = Loop(code, rows, [number(0, vector(I8, lanes)), window])
        inner = Loop(code, columns, outer.values)
        value, place = inner.values
        value = code.most_unsigned(value, code.load(value.type, place))
        value, _ = inner.end([value, code.add(place, pixel_bytes)])
        value, _ = outer.end([value, code.add(outer.values[1], row_bytes)])
        with code.if_else(code.icmp_signed(">=", count, number(lanes))) as (whole, part):
            with whole:
                code.store(value, target)
            with part:
                code.store_first(value, count, target)

    return largest


def _kernel(lanes: int) -> Callable[[], Callable[..., None]]:
    def build() -> Callable[..., None]:
        largest = _largest(lanes)

        def pool(op, arena):
            source_row, source_pixel = integer(op, SOURCE_ROW), integer(op, SOURCE_PIXEL)
            channels, stride = integer(op, CHANNELS), integer(op, POOL_STRIDE)
            for y in range(integer(op, HEIGHT)):
                top = y * stride - integer(op, POOL_TOP)
                rows = min(top + integer(op, POOL_HEIGHT), integer(op, POOL_BOTTOM)) - max(top, 0)
                for x in range(integer(op, WIDTH)):
                    left = x * stride - integer(op, POOL_LEFT)
                    columns = min(left + integer(op, POOL_WIDTH), integer(op, POOL_RIGHT)) - max(left, 0)
                    window = arena + integer(op, SOURCE) + max(top, 0) * source_row + max(left, 0) * source_pixel
                    target = arena + integer(op, TARGET) + y * integer(op, TARGET_ROW) + x * integer(op, TARGET_PIXEL)
                    for first in range(0, channels, lanes):
                        largest(window + first, rows, source_row, columns, source_pixel, target + first,
                                channels - first)

        return pool

    return build


KERNELS = {"lanes_64": _kernel(64), "lanes_32": _kernel(32)}
NEEDS = {"lanes_64": "avx512"}
