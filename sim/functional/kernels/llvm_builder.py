"""Write inner loops in LLVM IR, where Numba would not find the instructions.

A function marked `llvm_intrinsic` takes a `Code` and addresses and numbers as 64-bit integers, and emits instructions;
compiled functions call it as if it were written in Python. Methods are called as LLVM calls what they emit. Vectors may
be wider than a register: LLVM splits them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing.templates import signature as typed
from numba.extending import intrinsic

__all__ = ["I8", "I16", "I32", "I64", "Code", "Loop", "const", "llvm_intrinsic", "vector"]

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))


def vector(element: ir.Type, lanes: int) -> ir.VectorType:
    """Return the type of `lanes` elements."""
    return ir.VectorType(element, lanes)


def const(value: int, kind: ir.Type = I64) -> ir.Constant:
    """Return a constant; in every lane if `kind` is a vector."""
    return ir.Constant(kind, [value] * kind.count if isinstance(kind, ir.VectorType) else value)


class Code(ir.IRBuilder):
    """LLVM's builder, with memory by address and instructions by name."""

    def load(self, kind: ir.Type, address: ir.Value, offset: int = 0) -> ir.Value:
        """Load what lies `offset` bytes after `address`, however that is aligned."""
        value = super().load(self._pointer(kind, address, offset))
        value.align = 1
        return value

    def store(self, value: ir.Value, address: ir.Value, offset: int = 0) -> None:
        """Store `value` `offset` bytes after `address`, however that is aligned."""
        super().store(value, self._pointer(value.type, address, offset)).align = 1

    def store_first(self, value: ir.Value, count: ir.Value, address: ir.Value) -> None:
        """Store the first `count` lanes and leave the memory of the others as it is."""
        lanes = value.type.count
        order = ir.Constant(vector(I32, lanes), list(range(lanes)))
        mask = self.icmp_signed("<", order, self.splat(self.trunc(count, I32), lanes))
        pointer = self._pointer(value.type, address, 0)
        self.call_intrinsic(f"llvm.masked.store.v{lanes}{value.type.element}.p0", ir.VoidType(), value, pointer,
                         const(1, I32), mask)

    def prefetch(self, address: ir.Value, offset: int = 0) -> None:
        """Bring what lies `offset` bytes after `address` to the second-level cache; it may be anything, or nothing."""
        read, second_level, data = const(0, I32), const(2, I32), const(1, I32)
        self.call_intrinsic("llvm.prefetch.p0", ir.VoidType(), self._pointer(I8, address, offset), read, second_level,
                            data)

    def splat(self, value: ir.Value, lanes: int) -> ir.Value:
        """Return a vector that has `value` in every lane."""
        undefined = ir.Constant(vector(value.type, lanes), ir.Undefined)
        first = self.insert_element(undefined, value, const(0, I32))
        return self.shuffle_vector(first, undefined, const(0, vector(I32, lanes)))

    def shuffle(self, a: ir.Value, b: ir.Value, lanes: list[int]) -> ir.Value:
        """Return the numbered lanes of `a` and then `b`, as one vector."""
        return self.shuffle_vector(a, b, ir.Constant(vector(I32, len(lanes)), lanes))

    def call_intrinsic(self, name: str, result: ir.Type, *arguments: ir.Value) -> ir.Value:
        """Call LLVM's intrinsic `name`."""
        function = self.module.globals.get(name)
        if function is None:
            kind = ir.FunctionType(result, [argument.type for argument in arguments])
            function = ir.Function(self.module, kind, name)
        return self.call(function, arguments)

    def smin(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Return the smaller of two values in every lane, as signed numbers."""
        return self._lanewise("smin", a, b)

    def smax(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Return the larger of two values in every lane, as signed numbers."""
        return self._lanewise("smax", a, b)

    def umax(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Return the larger of two values in every lane, as unsigned numbers."""
        return self._lanewise("umax", a, b)

    def umin(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Return the smaller of two values in every lane, as unsigned numbers."""
        return self._lanewise("umin", a, b)

    def ctpop(self, a: ir.Value) -> ir.Value:
        """Return how many bits of every lane are set."""
        return self._lanewise("ctpop", a)

    def _lanewise(self, name: str, *arguments: ir.Value) -> ir.Value:
        kind = arguments[0].type
        return self.call_intrinsic(f"llvm.{name}.v{kind.count}{kind.element}", kind, *arguments)

    def _pointer(self, kind: ir.Type, address: ir.Value, offset: int) -> ir.Value:
        place = self.add(address, const(offset)) if offset else address
        return self.inttoptr(place, kind.as_pointer())


class Loop:
    """Repeat `count` times, at least once, what is emitted until `close`.

    `index` counts the turns from 0; `values` are those carried from turn to turn, as they are at the start of one.
    """

    def __init__(self, code: Code, count: ir.Value, values: list[ir.Value]) -> None:
        self.code, self.count = code, count
        before = code.block
        self.body = code.append_basic_block("turn")
        code.branch(self.body)
        code.position_at_end(self.body)
        self.index = code.phi(I64)
        self.index.add_incoming(const(0), before)
        self.values = [code.phi(value.type) for value in values]
        for phi, value in zip(self.values, values, strict=True):
            phi.add_incoming(value, before)

    def close(self, values: list[ir.Value]) -> list[ir.Value]:
        """Close the loop, given the carried values at the end of a turn; return those of the last turn."""
        code = self.code
        following, last = code.add(self.index, const(1)), code.block
        self.index.add_incoming(following, last)
        for phi, value in zip(self.values, values, strict=True):
            phi.add_incoming(value, last)
        done = code.append_basic_block("done")
        code.cbranch(code.icmp_signed("<", following, self.count), self.body, done)
        code.position_at_end(done)
        return values


def llvm_intrinsic(emit: Callable[..., ir.Value | None]) -> Any:
    """Make `emit(code, *integers)` a function that compiled code calls; its value is an integer, 0 if it has none."""
    names = list(inspect.signature(emit).parameters)[1:]

    def typing(context: object, *arguments: object) -> tuple[Any, Callable[..., ir.Value]]:
        del context, arguments
        return typed(types.int64, *[types.int64] * len(names)), generate

    def generate(context: object, builder: ir.IRBuilder, signature: object, arguments: list[ir.Value]) -> ir.Value:
        del context, signature
        code = Code(builder.block)
        result = emit(code, *arguments)
        builder.position_at_end(code.block)
        return const(0) if result is None else result

    # Numba asks for the signature of `typing`, which would be that of any number of arguments.
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(name, kind) for name in ("context", *names)])
    typing.__signature__ = signature  # type: ignore[attr-defined]  # functions take any attribute
    return intrinsic(typing)
