"""What the benches of single components share."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping, Sequence
from typing import Any

from cocotb.triggers import FallingEdge

from rtl.encoding.geometry import Geometry
from rtl.testbench.clocking import start
from sim.arch.machine import Machine

__all__ = ["geometry", "reset", "step", "tensor_beats", "wrap", "write_table"]


def geometry() -> Geometry:
    """Return the geometry of the machine that the component was built for, from BITWRIGHT_MACHINE."""
    return Geometry(Machine(**json.loads(os.environ["BITWRIGHT_MACHINE"])))


async def reset(dut: Any, inputs: tuple[str, ...]) -> random.Random:
    """Start the clock, hold reset for two cycles with all `inputs` low; the generator of the bench's stimuli."""
    await start(dut.clk, getattr(dut, "rst", None), [getattr(dut, name) for name in inputs])
    return random.Random(1)


async def step(dut: Any, values: Mapping[str, int]) -> None:
    """Drive inputs and let a cycle pass; outputs are those of the next cycle."""
    for name, value in values.items():
        getattr(dut, name).value = value
    await FallingEdge(dut.clk)


async def write_table(dut: Any, entries: Sequence[int]) -> None:
    """Fill the table of an engine and let it read ahead; returns in the first cycle in which it is enabled."""
    for index, entry in enumerate(entries):
        await step(dut, {"table_write": 1, "table_index": index, "table_data": entry})
    await step(dut, {"table_write": 0, "prepare": 1})
    await step(dut, {"prepare": 0})
    await step(dut, {})
    dut.enable.value = 1


def tensor_beats(banks: Sequence[Sequence[int]], shape: Geometry) -> list[int]:
    """Yield the beats of a tensor in `banks`: a word of every bank, then the next address, and zeros at the end."""
    bits, stream = 0, shape.machine.stream_bits
    words = [word for row in zip(*banks, strict=True) for word in row]
    for position, word in enumerate(words):
        bits |= word << position * shape.lanes
    beats = -(-len(words) * shape.lanes // stream)
    return [bits >> beat * stream & ((1 << stream) - 1) for beat in range(beats)]


def wrap(value: int, bits: int) -> int:
    """Signed number of `bits` bits that is `value` modulo 2**bits."""
    return ((value + (1 << (bits - 1))) & ((1 << bits) - 1)) - (1 << (bits - 1))
