"""The memory macro against a list of words."""

from __future__ import annotations

import os
from typing import Any

import cocotb

from rtl.benches.unit import reset, step

WIDTH, DEPTH, GRANULE = 12, 5, 4
CYCLES = 400


@cocotb.test()
async def reads_what_was_written(dut: Any) -> None:
    """A read gives the word before a write in the same cycle, or after it if transparent, and holds until the next."""
    transparent = os.environ["BITWRIGHT_TRANSPARENT"] == "1"
    inputs = ("wen", "waddr", "wdata", "wmask", "ren", "raddr")
    rng = await reset(dut, inputs)
    words = [0] * DEPTH
    for address in range(DEPTH):
        await step(dut, {"wen": 1, "waddr": address, "wdata": 0, "wmask": 7})
    held = None
    for _ in range(CYCLES):
        values = {"wen": rng.getrandbits(1), "waddr": rng.randrange(DEPTH), "wdata": rng.getrandbits(WIDTH),
                  "wmask": rng.getrandbits(3), "ren": rng.getrandbits(1), "raddr": rng.randrange(DEPTH)}
        before = list(words)
        if values["wen"]:
            mask = sum(15 << (GRANULE * g) for g in range(3) if values["wmask"] >> g & 1)
            words[values["waddr"]] = (words[values["waddr"]] & ~mask) | (values["wdata"] & mask)
        if values["ren"]:
            held = (words if transparent else before)[values["raddr"]]
        await step(dut, values)
        if held is not None:
            assert int(dut.rdata.value) == held, f"{values}: {int(dut.rdata.value):x} instead of {held:x}"
