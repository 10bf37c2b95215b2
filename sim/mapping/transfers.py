"""The Loads and Stores that a Program lacks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from weakref import WeakKeyDictionary

from sim.io.bounds import MAX_NAME
from sim.ir.ops import Load, Op, Store
from sim.ir.program import Program

__all__ = ["unique_name", "with_transfers"]

ELLIPSIS = "...."
ROOM_FOR_PRIMES = 16
"""Of the longest name [characters]."""


def unique_name(wanted: str, taken: Collection[str]) -> str:
    """Return `wanted`, its middle left out where it is too long, with the primes it needs to differ from all taken.

    >>> unique_name("load x", {"load x"})
    "load x'"
    >>> len(unique_name("x" * 400, {}))
    184
    """
    if len(wanted) > MAX_NAME - ROOM_FOR_PRIMES:
        half = (MAX_NAME - ROOM_FOR_PRIMES - len(ELLIPSIS)) // 2
        wanted = f"{wanted[:half]}{ELLIPSIS}{wanted[-half:]}"
    while wanted in taken:
        wanted += "'"
    return wanted


def with_transfers(program: Program) -> Program:
    """Return `program` with the Loads and Stores that it lacks.

    Every input that is read on chip is loaded before its first reader, every output that is computed there is stored
    when it is complete. While `program` is alive, the same Program is returned again.
    """
    if program in _complete:
        return _complete[program]
    ops = _all_ops(program)
    if len(ops) == len(program.ops):
        return program
    return _complete.setdefault(program, replace(program, ops=tuple(ops)))


_complete: WeakKeyDictionary[Program, Program] = WeakKeyDictionary()


def _all_ops(program: Program) -> list[Op]:
    loaded = {op.output for op in program.ops if isinstance(op, Load)}
    stored = {op.output for op in program.ops if isinstance(op, Store)}
    to_load = {tensor.name for tensor in program.inputs} - loaded
    last_writer = {op.writes: index for index, op in enumerate(program.ops)}
    to_store = {last_writer[tensor.name]: tensor.name for tensor in program.outputs
                if tensor.name in last_writer and tensor.name not in stored}
    names = {op.name for op in program.ops}
    ops: list[Op] = []
    for index, op in enumerate(program.ops):
        for name in op.chip_tensors:
            if name in to_load:
                ops.append(Load(unique_name(f"load {name}", names), name, name))
                to_load.remove(name)
        ops.append(op)
        if index in to_store:
            ops.append(Store(unique_name(f"store {to_store[index]}", names), to_store[index], to_store[index]))
    return ops
