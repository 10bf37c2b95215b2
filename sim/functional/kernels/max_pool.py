"""Max pooling of stored codes, which leaves out positions outside the map instead of padding them."""

from __future__ import annotations

from collections.abc import Callable

from sim.functional.kernels.abi import (
    CHANNELS,
    HEIGHT,
    POOL_BOTTOM,
    POOL_HEIGHT,
    POOL_LEFT,
    POOL_RIGHT,
    POOL_STRIDE_X,
    POOL_STRIDE_Y,
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
from sim.functional.kernels.kernel_id import KernelId
from sim.functional.kernels.llvm_builder import I8, Code, Loop, const, llvm_intrinsic, vector
from sim.functional.kernels.op_view import load_word

__all__ = ["KERNELS", "NEEDS"]


def _largest(lanes: int) -> Callable[..., int]:
    @llvm_intrinsic
    def largest(code: Code, window, rows, row_bytes, columns, pixel_bytes, target, count):
        """Store the largest of rows * columns pixels, for `count` channels, at most `lanes`."""
        outer = Loop(code, rows, [const(0, vector(I8, lanes)), window])
        inner = Loop(code, columns, outer.values)
        value, place = inner.values
        value = code.umax(value, code.load(value.type, place))
        value, _ = inner.close([value, code.add(place, pixel_bytes)])
        value, _ = outer.close([value, code.add(outer.values[1], row_bytes)])
        with code.if_else(code.icmp_signed(">=", count, const(lanes))) as (whole, part):
            with whole:
                code.store(value, target)
            with part:
                code.store_first(value, count, target)

    return largest


def _kernel(lanes: int) -> Callable[[], Callable[..., None]]:
    def build() -> Callable[..., None]:
        largest = _largest(lanes)

        def pool(op, arena):
            source_row, source_pixel = load_word(op, SOURCE_ROW), load_word(op, SOURCE_PIXEL)
            channels = load_word(op, CHANNELS)
            down, across = load_word(op, POOL_STRIDE_Y), load_word(op, POOL_STRIDE_X)
            for y in range(load_word(op, HEIGHT)):
                top = y * down - load_word(op, POOL_TOP)
                rows = min(top + load_word(op, POOL_HEIGHT), load_word(op, POOL_BOTTOM)) - max(top, 0)
                for x in range(load_word(op, WIDTH)):
                    left = x * across - load_word(op, POOL_LEFT)
                    columns = min(left + load_word(op, POOL_WIDTH), load_word(op, POOL_RIGHT)) - max(left, 0)
                    window = arena + load_word(op, SOURCE) + max(top, 0) * source_row + max(left, 0) * source_pixel
                    target = arena + load_word(op, TARGET)
                    target += y * load_word(op, TARGET_ROW) + x * load_word(op, TARGET_PIXEL)
                    for first in range(0, channels, lanes):
                        largest(window + first, rows, source_row, columns, source_pixel, target + first,
                                channels - first)

        return pool

    return build


WIDE = KernelId("max_pool", "lanes", 64)
KERNELS = {WIDE: _kernel(64), KernelId("max_pool", "lanes", 32): _kernel(32)}
NEEDS = {WIDE: "avx512"}
