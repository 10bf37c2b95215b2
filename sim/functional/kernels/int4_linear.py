"""Linear layers of up to 4-bit weights, whose time is that of reading the weights: two of them lie in a byte.

Weights are u = w - lowest, 0..15, in panels of GROUP channels, `[panel][quad of inputs][half][channel of 16][4]`, the
lower four bits of a half for one vector of 16 channels, the upper four for the next. Of a map of one pixel the sums are

    sum(w * s) = sum(u * s) + lowest * sum(s)
"""

from __future__ import annotations

from collections.abc import Callable

from sim.functional.kernels.abi import CHANNELS, GROUP, LOWEST, REQUANTIZER, RUN, SCRATCH, WEIGHTS
from sim.functional.kernels.dot_product import Vnni
from sim.functional.kernels.llvm_builder import I32, Code, Loop, emitted, number, vector
from sim.functional.kernels.op_call import call_requantizer
from sim.functional.kernels.op_view import integer, locate

__all__ = ["KERNELS", "NEEDS"]

VNNI = Vnni(16)


@emitted
def _sums(code: Code, window, quads, weights, lowest, sums):
    """Of one window and a panel of weights."""
    kind = vector(I32, 16)
    low_bits, ones = number(0x0F0F0F0F, kind), number(0x01010101, kind)
    loop = Loop(code, quads, [number(0, kind)] * 5 + [window, weights])
    *totals, source, place = loop.values
    codes = code.splat(code.load(I32, source), 16)
    for half in range(2):
        both = code.load(kind, place, 64 * half)
        upper = code.lshr(both, number(4, kind))
        for i, weight in enumerate((both, upper)):
            total = 2 * half + i
            totals[total] = VNNI.add(code, totals[total], [codes], [code.and_(weight, low_bits)])
    totals[4] = VNNI.add(code, totals[4], [codes], [ones])
    *totals, _, _ = loop.end([*totals, code.add(source, number(4)), code.add(place, number(128))])
    reference = code.mul(totals[4], code.splat(code.trunc(lowest, I32), 16))
    for q, total in enumerate(totals[:4]):
        code.store(code.add(total, reference), sums, 64 * q)


def _linear() -> Callable[..., None]:
    def linear(op, arena):
        window = arena + integer(op, SCRATCH)
        target, residual, sums = window + 8, window + 16, window + 64
        locate(op, arena, 0, 1, window, target, residual)
        quads, weights = integer(op, RUN), integer(op, WEIGHTS)
        for first in range(0, integer(op, CHANNELS), GROUP):
            _sums(integer(window, 0), quads, weights, integer(op, LOWEST), sums)
            call_requantizer(integer(op, REQUANTIZER), op, sums, 4 * GROUP, 1, first, GROUP, target, residual)
            weights += quads * 128

    return linear


KERNELS = {"linear": _linear}
NEEDS = {"linear": "avx512"}
