"""Add four products of a byte of codes and a byte of weights to every lane of 32 bits: one way for each rung.

Codes are unsigned, weights signed, and the sum is exact modulo 2**32.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from sim.functional.kernels.abi import VECTOR_LANES
from sim.functional.kernels.llvm_builder import I8, I16, Code, const, vector

__all__ = ["DOTS", "Dot", "Maddubs", "Maddwd", "Portable", "Vnni", "Words"]


@dataclass(frozen=True)
class Dot(ABC):
    """Multiply and add as one rung does it.

    `codes` and `weights` unpack a vector once; `add` uses what they give for as many sums as there are.
    """

    lanes: int

    def codes(self, code: Code, packed: ir.Value) -> list[ir.Value]:
        """Unpack four unsigned bytes a lane, as `add` wants them."""
        del code
        return [packed]

    def weights(self, code: Code, packed: ir.Value) -> list[ir.Value]:
        """Unpack four signed bytes a lane, as `add` wants them."""
        del code
        return [packed]

    @abstractmethod
    def add(self, code: Code, sums: ir.Value, codes: list[ir.Value], weights: list[ir.Value]) -> ir.Value:
        """Return `sums` plus the four products of each lane."""


class Vnni(Dot):
    """vpdpbusd: all in one instruction, without saturation."""

    def add(self, code: Code, sums: ir.Value, codes: list[ir.Value], weights: list[ir.Value]) -> ir.Value:
        # LLVM reads this older form, lanes of 32 bits for all, in every version.
        return code.call_intrinsic(f"llvm.x86.avx512.vpdpbusd.{32 * self.lanes}", sums.type, sums, *codes, *weights)


class Words(Dot):
    """vpdpwssd: two products of 16 signed bits each, instead of four of bytes."""

    def add(self, code: Code, sums: ir.Value, codes: list[ir.Value], weights: list[ir.Value]) -> ir.Value:
        return code.call_intrinsic(f"llvm.x86.avx512.vpdpwssd.{32 * self.lanes}", sums.type, sums, *codes, *weights)


class Maddwd(Dot):
    """vpmaddwd: bytes 0 and 2, then 1 and 3, widened to 16 bits."""

    def codes(self, code: Code, packed: ir.Value) -> list[ir.Value]:
        halves = code.bitcast(packed, vector(I16, 2 * self.lanes))
        return [code.and_(halves, const(0xFF, halves.type)), code.lshr(halves, const(8, halves.type))]

    def weights(self, code: Code, packed: ir.Value) -> list[ir.Value]:
        halves = code.bitcast(packed, vector(I16, 2 * self.lanes))
        eight = const(8, halves.type)
        return [code.ashr(code.shl(halves, eight), eight), code.ashr(halves, eight)]

    def add(self, code: Code, sums: ir.Value, codes: list[ir.Value], weights: list[ir.Value]) -> ir.Value:
        for pair in zip(codes, weights, strict=True):
            sums = code.add(sums, code.call_intrinsic("llvm.x86.avx2.pmadd.wd", sums.type, *pair))
        return sums


class Maddubs(Dot):
    """vpmaddubsw, then vpmaddwd with ones: exact if no sum of two products leaves 16 bits."""

    def add(self, code: Code, sums: ir.Value, codes: list[ir.Value], weights: list[ir.Value]) -> ir.Value:
        as_bytes = (code.bitcast(*operands, vector(I8, 4 * self.lanes)) for operands in (codes, weights))
        pairs = code.call_intrinsic("llvm.x86.avx2.pmadd.ub.sw", vector(I16, 2 * self.lanes), *as_bytes)
        ones = const(1, pairs.type)
        return code.add(sums, code.call_intrinsic("llvm.x86.avx2.pmadd.wd", sums.type, pairs, ones))


class Portable(Dot):
    """Each byte widened to the lane, and multiplied there."""

    def codes(self, code: Code, packed: ir.Value) -> list[ir.Value]:
        byte = const(0xFF, packed.type)
        return [code.and_(code.lshr(packed, const(8 * i, packed.type)), byte) for i in range(4)]

    def weights(self, code: Code, packed: ir.Value) -> list[ir.Value]:
        top = const(24, packed.type)
        return [code.ashr(code.shl(packed, const(24 - 8 * i, packed.type)), top) for i in range(4)]

    def add(self, code: Code, sums: ir.Value, codes: list[ir.Value], weights: list[ir.Value]) -> ir.Value:
        for pair in zip(codes, weights, strict=True):
            sums = code.add(sums, code.mul(*pair))
        return sums


WAYS: dict[str, Callable[[int], Dot]] = {"portable": Portable, "avx2": Maddwd, "maddubs": Maddubs, "avx512": Vnni}
DOTS: dict[str, Dot] = {way: dot(VECTOR_LANES[way]) for way, dot in WAYS.items()}
"""Dot product of each rung; `maddubs` is that of avx2 where no pair of products leaves 16 bits."""

