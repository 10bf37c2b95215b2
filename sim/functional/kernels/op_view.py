"""Compiled code's view of an operation: its words, the places of its outputs, and the code that it calls by address."""

from __future__ import annotations

from llvmlite import ir
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
from sim.functional.kernels.llvm_builder import I32, I64, const, llvm_intrinsic

__all__ = ["call_kernel", "call_requantizer", "load_word", "locate", "store_word"]


@llvm_intrinsic
def load_word(code, base, index):
    """Load word `index` of the row at `base`."""
    return code.load(I64, code.add(base, code.mul(index, const(8))))


@llvm_intrinsic
def store_word(code, base, index, value):
    """Store word `index` of the row at `base`."""
    code.store(value, code.add(base, code.mul(index, const(8))))


@llvm_intrinsic
def call_kernel(code, address, op, arena):
    """Call kernel(op, arena)."""
    _call(code, address, [op, arena])


@llvm_intrinsic
def call_requantizer(code, address, op, sums, row_bytes, rows, first, count, targets, residuals):
    """Call requantizer(op, sums, row_bytes, rows, first, count, targets, residuals)."""
    _call(code, address, [op, sums, row_bytes, rows, first, count, targets, residuals])


def _call(code, address, arguments):
    """Call a function of Numba's, which writes a result and an exception; kernels have none."""
    pointer = I64.as_pointer()
    kind = ir.FunctionType(I32, [pointer, pointer, *[I64] * len(arguments)])
    with code.goto_entry_block():
        unused = code.alloca(I64)
    code.call(code.inttoptr(address, kind.as_pointer()), [unused, unused, *arguments])


@njit(error_model="numpy")
def locate(op, arena, start, count, windows, targets, residuals):
    """Write the addresses of the windows, targets and residuals of `count` outputs from `start` on, row after row."""
    width = load_word(op, WIDTH)
    y, x = start // width, start % width
    source_row, source_pixel = load_word(op, SOURCE_ROW), load_word(op, SOURCE_PIXEL)
    target_row, target_pixel = load_word(op, TARGET_ROW), load_word(op, TARGET_PIXEL)
    other_row, other_pixel = load_word(op, RESIDUAL_ROW), load_word(op, RESIDUAL_PIXEL)
    source = arena + load_word(op, SOURCE) + y * source_row + x * source_pixel
    target = arena + load_word(op, TARGET) + y * target_row + x * target_pixel
    other = arena + load_word(op, RESIDUAL) + y * other_row + x * other_pixel
    for i in range(count):
        store_word(windows, i, source)
        store_word(targets, i, target)
        store_word(residuals, i, other)
        x, source, target, other = x + 1, source + source_pixel, target + target_pixel, other + other_pixel
        if x == width:
            x = 0
            source += source_row - width * source_pixel
            target += target_row - width * target_pixel
            other += other_row - width * other_pixel
