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
    SPARE_ROWS,
    TARGET,
    TARGET_PIXEL,
    TARGET_ROW,
    WIDTH,
)
from sim.functional.kernels.llvm_builder import I32, I64, Loop, const, llvm_intrinsic, vector

__all__ = ["call_kernel", "call_requantizer", "load_word", "locate", "locate_spared", "store_word"]

ADDRESSES = 8
"""Of addresses that are stored at a time."""


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


@llvm_intrinsic
def _store_steps(code, place, first, step, count):
    """Store `count` addresses, `step` bytes apart, and perhaps up to ADDRESSES - 1 more."""
    kind = vector(I64, ADDRESSES)
    ahead = code.mul(code.splat(step, ADDRESSES), ir.Constant(kind, list(range(ADDRESSES))))
    turn = code.splat(code.mul(step, const(ADDRESSES)), ADDRESSES)
    turns = code.lshr(code.add(count, const(ADDRESSES - 1)), const(3))
    loop = Loop(code, turns, [place, code.add(code.splat(first, ADDRESSES), ahead)])
    here, addresses = loop.values
    code.store(addresses, here)
    loop.close([code.add(here, const(8 * ADDRESSES)), code.add(addresses, turn)])


@njit(error_model="numpy")
def locate_spared(op, arena, start, count, windows, targets, residuals):
    """Do what `locate` does, and repeat the last addresses SPARE_ROWS times; each list has room for those."""
    width = load_word(op, WIDTH)
    y, x, done = start // width, start % width, 0
    while done < count:
        run = min(width - x, count - done)
        source = arena + load_word(op, SOURCE) + y * load_word(op, SOURCE_ROW) + x * load_word(op, SOURCE_PIXEL)
        target = arena + load_word(op, TARGET) + y * load_word(op, TARGET_ROW) + x * load_word(op, TARGET_PIXEL)
        other = arena + load_word(op, RESIDUAL) + y * load_word(op, RESIDUAL_ROW) + x * load_word(op, RESIDUAL_PIXEL)
        _store_steps(windows + 8 * done, source, load_word(op, SOURCE_PIXEL), run)
        _store_steps(targets + 8 * done, target, load_word(op, TARGET_PIXEL), run)
        _store_steps(residuals + 8 * done, other, load_word(op, RESIDUAL_PIXEL), run)
        y, x, done = y + 1, 0, done + run
    for places in (windows, targets, residuals):
        _store_steps(places + 8 * count, load_word(places, count - 1), 0, SPARE_ROWS - ADDRESSES + 1)
