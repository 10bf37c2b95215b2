"""Calls of compiled code by address."""

from __future__ import annotations

from llvmlite import ir

from sim.functional.kernels.llvm_builder import I32, I64, emitted

__all__ = ["call_kernel", "call_requantizer"]


@emitted
def call_kernel(code, address, op, arena):
    """kernel(op, arena)"""
    _call(code, address, [op, arena])


@emitted
def call_requantizer(code, address, op, sums, row_bytes, rows, first, count, targets, residuals):
    """requantizer(op, sums, row_bytes, rows, first, count, targets, residuals)"""
    _call(code, address, [op, sums, row_bytes, rows, first, count, targets, residuals])


def _call(code, address, arguments):
    """As Numba's functions are called: they write a result and an exception, of which kernels have none."""
    pointer = I64.as_pointer()
    kind = ir.FunctionType(I32, [pointer, pointer, *[I64] * len(arguments)])
    with code.goto_entry_block():
        unused = code.alloca(I64)
    code.call(code.inttoptr(address, kind.as_pointer()), [unused, unused, *arguments])
