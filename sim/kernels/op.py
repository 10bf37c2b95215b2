"""Compiled code's view of an operation."""

from __future__ import annotations

from numba import njit

from sim.kernels.ir import I64, emitted
from sim.kernels.words import (
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
    for i in range(count):
        set_integer(windows, i, arena + integer(op, SOURCE) + y * integer(op, SOURCE_ROW)
                    + x * integer(op, SOURCE_PIXEL))
        set_integer(targets, i, arena + integer(op, TARGET) + y * integer(op, TARGET_ROW)
                    + x * integer(op, TARGET_PIXEL))
        set_integer(residuals, i, arena + integer(op, RESIDUAL) + y * integer(op, RESIDUAL_ROW)
                    + x * integer(op, RESIDUAL_PIXEL))
        x += 1
        if x == width:
            x, y = 0, y + 1
