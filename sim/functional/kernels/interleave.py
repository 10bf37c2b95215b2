"""The order of channels in which bytes become sums and sums become bytes without crossing 128 bits.

Of a group of channels, 16 for every 128 bits of a register, vector q of four has, in 128-bit lane l, channels
16 l + 4 q and the three after it.
"""

from __future__ import annotations

from llvmlite import ir

from sim.functional.kernels.llvm_builder import I8, I16, I32, Code, const, vector

__all__ = ["in_order", "interleaved", "packed", "widened"]


def interleaved(code: Code, rows: list[ir.Value]) -> list[ir.Value]:
    """Return four vectors, in which byte k of the lane of a channel is the channel's in rows[k]."""
    channels = rows[0].type.count
    half, whole = vector(I16, channels // 2), vector(I32, channels // 4)
    pairs = [[code.bitcast(_unpacked(code, a, b, 16, high), half) for high in (0, 1)]
             for a, b in (rows[:2], rows[2:])]
    return [code.bitcast(_unpacked(code, first, second, 8, high), whole)
            for first, second in zip(*pairs, strict=True) for high in (0, 1)]


def widened(code: Code, codes: ir.Value) -> list[ir.Value]:
    """Return unsigned bytes of channels in order as four vectors of 32-bit lanes."""
    nothing = const(0, codes.type)
    return interleaved(code, [codes, nothing, nothing, nothing])


def packed(code: Code, values: list[ir.Value]) -> ir.Value:
    """Undo `widened`: return bytes of 64 or 32 channels in order, values beyond 0..255 clamped."""
    lanes = values[0].type.count
    words, codes = {16: ("avx512.packssdw.512", "avx512.packuswb.512"), 8: ("avx2.packssdw", "avx2.packuswb")}[lanes]
    halves = [code.call_intrinsic(f"llvm.x86.{words}", vector(I16, 2 * lanes), *pair)
              for pair in (values[:2], values[2:])]
    return code.call_intrinsic(f"llvm.x86.{codes}", vector(I8, 4 * lanes), *halves)


def in_order(code: Code, values: list[ir.Value]) -> ir.Value:
    """Return one vector of all lanes, channels in order."""
    lanes = values[0].type.count
    low, high = (code.shuffle(a, b, list(range(2 * lanes))) for a, b in (values[:2], values[2:]))
    return code.shuffle(low, high, [q * lanes + 4 * lane + i for lane in range(lanes // 4) for q in range(4)
                                 for i in range(4)])


def _unpacked(code: Code, a: ir.Value, b: ir.Value, lane: int, high: int) -> ir.Value:
    """Take elements of a and b in turn, from the lower or upper half of every 128 bits, which hold `lane` elements."""
    count = a.type.count
    order = [element + which * count for start in range(0, count, lane)
             for element in range(start + high * lane // 2, start + high * lane // 2 + lane // 2) for which in (0, 1)]
    return code.shuffle(a, b, order)
