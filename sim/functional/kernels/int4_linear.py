"""Linear layers of up to 4-bit weights, whose time is that of reading the weights: two of them lie in a byte.

Weights are u = w - lowest, 0..15, in panels of GROUP channels, `[panel][quad of inputs][half][channel of 16][4]`, the
lower four bits of a half for one vector of 16 channels, the upper four for the next. Of a map of one pixel the sums are

    sum(w * s) = sum(u * s) + lowest * sum(s)
"""

from __future__ import annotations

from collections.abc import Callable

from sim.functional.kernels.abi import CHANNELS, GROUP, LOWEST, REQUANTIZER, RUN, SCRATCH, WEIGHTS
from sim.functional.kernels.dot_product import Vnni
from sim.functional.kernels.kernel_id import KernelId
from sim.functional.kernels.llvm_builder import I32, Code, Loop, const, llvm_intrinsic, vector
from sim.functional.kernels.op_view import call_requantizer, load_word, locate

__all__ = ["KERNELS", "NEEDS"]

VNNI = Vnni(16)


@llvm_intrinsic
def _sums(code: Code, window, quads, weights, lowest, sums):
    """Write the sums of one window and a panel of weights."""
    kind = vector(I32, 16)
    low_bits, ones = const(0x0F0F0F0F, kind), const(0x01010101, kind)
    loop = Loop(code, quads, [const(0, kind)] * 5 + [window, weights])
    *totals, source, place = loop.values
    codes = code.splat(code.load(I32, source), 16)
    for half in range(2):
        both = code.load(kind, place, 64 * half)
        upper = code.lshr(both, const(4, kind))
        for i, weight in enumerate((both, upper)):
            total = 2 * half + i
            totals[total] = VNNI.add(code, totals[total], [codes], [code.and_(weight, low_bits)])
    totals[4] = VNNI.add(code, totals[4], [codes], [ones])
    *totals, _, _ = loop.close([*totals, code.add(source, const(4)), code.add(place, const(128))])
    reference = code.mul(totals[4], code.splat(code.trunc(lowest, I32), 16))
    for q, total in enumerate(totals[:4]):
        code.store(code.add(total, reference), sums, 64 * q)


def _linear() -> Callable[..., None]:
    def linear(op, arena):
        window = arena + load_word(op, SCRATCH)
        target, residual, sums = window + 8, window + 16, window + 64
        locate(op, arena, 0, 1, window, target, residual)
        quads, weights = load_word(op, RUN), load_word(op, WEIGHTS)
        for first in range(0, load_word(op, CHANNELS), GROUP):
            _sums(load_word(window, 0), quads, weights, load_word(op, LOWEST), sums)
            call_requantizer(load_word(op, REQUANTIZER), op, sums, 4 * GROUP, 1, first, GROUP, target, residual)
            weights += quads * 128

    return linear


KERNELS = {KernelId("int4_linear", "linear"): _linear}
NEEDS = dict.fromkeys(KERNELS, "avx512")
