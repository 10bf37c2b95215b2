"""Calls of compiled code by address."""

from __future__ import annotations

from llvmlite import ir

from sim.kernels.ir import I64, emitted

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
    """A C function of integers; Numba's return a pointer that means nothing."""
    kind = ir.FunctionType(ir.VoidType(), [I64] * len(arguments))
    code.call(code.inttoptr(address, kind.as_pointer()), arguments)
