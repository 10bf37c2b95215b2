"""What the benches of single components share."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping
from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from rtl.geometry import Geometry
from sim.machine import Machine

__all__ = ["geometry", "reset", "step", "wrap"]


def geometry() -> Geometry:
    """Of the machine that the component was built for, from BITWRIGHT_MACHINE."""
    return Geometry(Machine(**json.loads(os.environ["BITWRIGHT_MACHINE"])))


async def reset(dut: Any, inputs: tuple[str, ...]) -> random.Random:
    """Start the clock, hold reset for two cycles with all `inputs` low; the generator of the bench's stimuli."""
    for name in inputs:
        getattr(dut, name).value = 0
    if hasattr(dut, "rst"):
        dut.rst.value = 1
    Clock(dut.clk, 10, unit="ns").start()
    for _ in range(2):
        await FallingEdge(dut.clk)
    if hasattr(dut, "rst"):
        dut.rst.value = 0
    return random.Random(1)


async def step(dut: Any, values: Mapping[str, int]) -> None:
    """Drive inputs and let a cycle pass; outputs are those of the next cycle."""
    for name, value in values.items():
        getattr(dut, name).value = value
    await FallingEdge(dut.clk)


def wrap(value: int, bits: int) -> int:
    """Signed number of `bits` bits that is `value` modulo 2**bits."""
    return ((value + (1 << (bits - 1))) & ((1 << bits) - 1)) - (1 << (bits - 1))
