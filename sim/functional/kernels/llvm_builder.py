"""What the inner loops are written with: LLVM IR, where Numba would not find the instructions.

A function marked `emitted` takes a `Code` and addresses and numbers as 64-bit integers, and emits instructions;
compiled functions call it as if it were written in Python. Vectors may be wider than a register: LLVM splits them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing.templates import signature as typed
from numba.extending import intrinsic

__all__ = ["I8", "I16", "I32", "I64", "Code", "Loop", "emitted", "number", "vector"]

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))


def vector(element: ir.Type, lanes: int) -> ir.VectorType:
    """The type of `lanes` elements."""
    return ir.VectorType(element, lanes)


def number(value: int, kind: ir.Type = I64) -> ir.Constant:
    """A constant; in every lane if `kind` is a vector."""
    return ir.Constant(kind, [value] * kind.count if isinstance(kind, ir.VectorType) else value)


class Code(ir.IRBuilder):
    """LLVM's builder, with memory by address and instructions by name."""

    def load(self, kind: ir.Type, address: ir.Value, offset: int = 0) -> ir.Value:
        """What lies `offset` bytes behind `address`, anyhow aligned."""
        value = super().load(self._pointer(kind, address, offset))
        value.align = 1
        return value

    def store(self, value: ir.Value, address: ir.Value, offset: int = 0) -> None:
        """The counterpart of `load`."""
        super().store(value, self._pointer(value.type, address, offset)).align = 1

    def store_first(self, value: ir.Value, count: ir.Value, address: ir.Value) -> None:
        """Store the first `count` lanes alone."""
        lanes = value.type.count
        order = ir.Constant(vector(I32, lanes), list(range(lanes)))
        mask = self.icmp_signed("<", order, self.splat(self.trunc(count, I32), lanes))
        pointer = self._pointer(value.type, address, 0)
        self.instruction(f"llvm.masked.store.v{lanes}{value.type.element}.p0", ir.VoidType(), value, pointer,
                         number(1, I32), mask)

    def splat(self, value: ir.Value, lanes: int) -> ir.Value:
        """`value` in every lane."""
        undefined = ir.Constant(vector(value.type, lanes), ir.Undefined)
        first = self.insert_element(undefined, value, number(0, I32))
        return self.shuffle_vector(first, undefined, number(0, vector(I32, lanes)))

    def pick(self, a: ir.Value, b: ir.Value, lanes: list[int]) -> ir.Value:
        """The numbered lanes of a, then b, as one vector."""
        return self.shuffle_vector(a, b, ir.Constant(vector(I32, len(lanes)), lanes))

    def instruction(self, name: str, result: ir.Type, *arguments: ir.Value) -> ir.Value:
        """A call of LLVM's intrinsic of that name."""
        function = self.module.globals.get(name)
        if function is None:
            kind = ir.FunctionType(result, [argument.type for argument in arguments])
            function = ir.Function(self.module, kind, name)
        return self.call(function, arguments)

    def least(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """min(a, b) of signed lanes."""
        return self._lanewise("smin", a, b)

    def most(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """max(a, b) of signed lanes."""
        return self._lanewise("smax", a, b)

    def most_unsigned(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """max(a, b) of unsigned lanes."""
        return self._lanewise("umax", a, b)

    def least_unsigned(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """min(a, b) of unsigned lanes."""
        return self._lanewise("umin", a, b)

    def ones(self, a: ir.Value) -> ir.Value:
        """How many bits of every lane are set."""
        return self._lanewise("ctpop", a)

    def _lanewise(self, name: str, *arguments: ir.Value) -> ir.Value:
        kind = arguments[0].type
        return self.instruction(f"llvm.{name}.v{kind.count}{kind.element}", kind, *arguments)

    def _pointer(self, kind: ir.Type, address: ir.Value, offset: int) -> ir.Value:
        place = self.add(address, number(offset)) if offset else address
        return self.inttoptr(place, kind.as_pointer())


class Loop:
    """`count` turns, at least one, of what is emitted until `end`.

    `index` counts them from 0; `values` are the carried ones at the start of a turn.
    """

    def __init__(self, code: Code, count: ir.Value, values: list[ir.Value]) -> None:
        self.code, self.count = code, count
        before = code.block
        self.body = code.append_basic_block("turn")
        code.branch(self.body)
        code.position_at_end(self.body)
        self.index = code.phi(I64)
        self.index.add_incoming(number(0), before)
        self.values = [code.phi(value.type) for value in values]
        for phi, value in zip(self.values, values, strict=True):
            phi.add_incoming(value, before)

    def end(self, values: list[ir.Value]) -> list[ir.Value]:
        """Close the loop with the carried values at the end of a turn; they are those after the last one, too."""
        code = self.code
        following, last = code.add(self.index, number(1)), code.block
        self.index.add_incoming(following, last)
        for phi, value in zip(self.values, values, strict=True):
            phi.add_incoming(value, last)
        done = code.append_basic_block("done")
        code.cbranch(code.icmp_signed("<", following, self.count), self.body, done)
        code.position_at_end(done)
        return values


def emitted(emit: Callable[..., ir.Value | None]) -> Any:
    """What compiled functions call to have `emit(code, *integers)` emitted there; it gives an integer, 0 for none."""
    names = list(inspect.signature(emit).parameters)[1:]

    def typing(context: object, *arguments: object) -> tuple[Any, Callable[..., ir.Value]]:
        del context, arguments
        return typed(types.int64, *[types.int64] * len(names)), generate

    def generate(context: object, builder: ir.IRBuilder, signature: object, arguments: list[ir.Value]) -> ir.Value:
        del context, signature
        code = Code(builder.block)
        result = emit(code, *arguments)
        builder.position_at_end(code.block)
        return number(0) if result is None else result

    # Numba asks for the signature of `typing`, which would be that of any number of arguments.
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(name, kind) for name in ("context", *names)])
    typing.__signature__ = signature  # type: ignore[attr-defined]  # functions take any attribute
    return intrinsic(typing)
