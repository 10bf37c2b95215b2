"""The memory macro against a list of words."""

from __future__ import annotations

import os
from typing import Any

import cocotb
from cocotb.types import LogicArray

from rtl.verification.benches.unit_harness import reset, step

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


@cocotb.test()
async def undefined_masks_are_not_hidden(dut: Any) -> None:
    """A granule whose mask bit is undefined holds undefined bits; its neighbours are written or kept as they must."""
    await reset(dut, ("wen", "waddr", "wdata", "wmask", "ren", "raddr"))
    await step(dut, {"wen": 1, "waddr": 3, "wdata": 0xABC, "wmask": 7})
    dut.wmask.value = LogicArray("0X1")
    await step(dut, {"wdata": 0x123})
    await step(dut, {"wen": 0, "ren": 1, "raddr": 3})
    assert str(dut.rdata.value) == f"{0xA:04b}XXXX{0x3:04b}"
