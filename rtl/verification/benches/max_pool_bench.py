"""One column of the pool engine against max."""

from __future__ import annotations

from typing import Any

import cocotb

from rtl.verification.benches.pe_bench import planes
from rtl.verification.benches.unit_harness import reset, step

LANES = 8


@cocotb.test()
async def keeps_the_maximum(dut: Any) -> None:
    """After the last tap, and for each plane as soon as it was compared, the planes are those of the maximum."""
    rng = await reset(dut, ("take", "word", "plane", "top", "first", "show"))
    for _ in range(150):
        bits, taps = rng.randint(1, 8), rng.randint(1, 6)
        best = [0] * LANES
        for tap in range(taps):
            codes = [rng.choice([0, (1 << bits) - 1, rng.randrange(1 << bits)]) for _ in range(LANES)]
            best = [max(pair) for pair in zip(best, codes, strict=True)]
            for plane in reversed(range(bits)):
                await step(dut, {"take": 1, "word": planes(codes, bits)[plane], "plane": plane,
                                 "top": int(plane == bits - 1), "first": int(tap == 0), "show": plane})
                assert int(dut.maximum.value) == planes(best, bits)[plane]
            await step(dut, {"take": 0})
