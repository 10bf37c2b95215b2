"""Compiled code's view of an operation."""

from __future__ import annotations

from numba import njit

from sim.functional.kernels.abi import (
    RESIDUAL,
    RESIDUAL_PIXEL,
    RESIDUAL_ROW,
    SOURCE,
    SOURCE_PIXEL,
    SOURCE_ROW,
    TARGET,
    TARGET_PIXEL,
    TARGET_ROW,
    WIDTH,
)
from sim.functional.kernels.llvm_builder import I64, emitted

__all__ = ["integer", "locate", "set_integer"]


@emitted
def integer(code, base, index):
    """Word `index` of the row at `base`."""
    return code.load(I64, code.add(base, code.mul(index, I64(8))))


@emitted
def set_integer(code, base, index, value):
    """Write it."""
    code.store(value, code.add(base, code.mul(index, I64(8))))


@njit(error_model="numpy")
def locate(op, arena, start, count, windows, targets, residuals):
    """Addresses of the windows, targets and residuals of outputs start .. start + count - 1, in order of rows."""
    width = integer(op, WIDTH)
    y, x = start // width, start % width
    source_row, source_pixel = integer(op, SOURCE_ROW), integer(op, SOURCE_PIXEL)
    target_row, target_pixel = integer(op, TARGET_ROW), integer(op, TARGET_PIXEL)
    other_row, other_pixel = integer(op, RESIDUAL_ROW), integer(op, RESIDUAL_PIXEL)
    source = arena + integer(op, SOURCE) + y * source_row + x * source_pixel
    target = arena + integer(op, TARGET) + y * target_row + x * target_pixel
    other = arena + integer(op, RESIDUAL) + y * other_row + x * other_pixel
    for i in range(count):
        set_integer(windows, i, source)
        set_integer(targets, i, target)
        set_integer(residuals, i, other)
        x, source, target, other = x + 1, source + source_pixel, target + target_pixel, other + other_pixel
        if x == width:
            x = 0
            source += source_row - width * source_pixel
            target += target_row - width * target_pixel
            other += other_row - width * other_pixel
