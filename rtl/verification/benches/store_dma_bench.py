"""The store engine: every beat of random Stores, and the cycle in which it is offered."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, Timer

from rtl.encoding.descriptors import pack
from rtl.verification.benches.unit_harness import geometry, reset, step, tensor_beats, write_table
from sim.timing.recurrence import STORE_LATENCY

INPUTS = ("table_write", "table_index", "table_data", "prepare", "enable", "computes", "o_ready")
CYCLE_LIMIT = 5000
"""For words of a beat; those of more beats take so many times longer."""


class Banks:
    """Activation banks with a cycle of read latency."""

    def __init__(self, dut: Any, rng: random.Random, shape: Any) -> None:
        self.dut, self.columns = dut, shape.columns
        self.words = [[rng.getrandbits(shape.lanes) for _ in range(shape.bank_words)] for _ in range(shape.columns)]

    def read(self, first: int, last: int) -> dict[str, int]:
        """Return the data of this cycle's reads for the next cycle; none may be outside the tensor."""
        mask = int(self.dut.bank_read.value)
        addresses = {c: int(getattr(self.dut, f"bank_address_{c}").value)
                     for c in range(self.columns) if mask >> c & 1}
        assert all(first <= address <= last for address in addresses.values())
        return {f"bank_data_{c}": self.words[c][address] for c, address in addresses.items()}


@cocotb.test()
async def sends_stores(dut: Any) -> None:
    """Beats are those of the tensor; the first comes STORE_LATENCY cycles after the start, then one in every cycle."""
    shape = geometry()
    rng = await reset(dut, INPUTS)
    banks = Banks(dut, rng, shape)
    for patience in (1.0, 0.6, 0.2):
        places = [random_place(rng, shape) for _ in range(5)] + [(shape.bank_words - 1, shape.bank_words - 1)]
        after = sorted(rng.choices(range(4), k=len(places)))
        table = [pack({"valid": 1, "op": index, "first": place[0], "last": place[1], "after_computes": count},
                      shape.outward, "bench") for index, (place, count) in enumerate(zip(places, after, strict=True))]
        await write_table(dut, [*table, 0])
        await follow(dut, rng, banks, shape, places, after, patience)


def random_place(rng: random.Random, shape: Any) -> tuple[int, int]:
    """First and last word of a tensor."""
    first = rng.randrange(shape.bank_words)
    return first, min(shape.bank_words - 1, first + rng.randrange(20))


async def follow(dut: Any, rng: random.Random, banks: Banks, shape: Any, places: list[tuple[int, int]],
                 after: list[int], patience: float) -> None:
    """Run the table; `patience` is the probability that a beat is taken when it is offered."""
    computes, cycle, start, held = 0, 0, None, None
    for index, (first, last) in enumerate(places):
        beats = tensor_beats([bank[first : last + 1] for bank in banks.words], shape)
        start = None
        taken = 0
        while taken < len(beats):
            assert cycle < CYCLE_LIMIT * max(1, shape.lanes // shape.machine.stream_bits)
            if start is None and computes >= after[index]:
                start = cycle
            offers = start is not None and cycle >= start + STORE_LATENCY
            assert int(dut.o_valid.value) == offers, f"cycle {cycle}: beat {taken} of Store {index}"
            if offers:
                held = divmod(int(dut.o_payload.value), 1 << shape.machine.stream_bits)[::-1]
                assert held == (beats[taken], int(taken == len(beats) - 1)), f"beat {taken} of Store {index}"
            ready = rng.random() < patience
            dut.o_ready.value = ready
            await Timer(1, "ns")
            ends = offers and ready and taken == len(beats) - 1
            assert int(dut.stored.value) == ends
            assert int(dut.finishing.value) == (ends and index == len(places) - 1)
            taken += offers and ready
            computes = min(computes + (rng.random() < 0.1), 3)
            words = banks.read(first, last)
            await FallingEdge(dut.clk)
            for name, word in words.items():
                getattr(dut, name).value = word
            dut.computes.value = computes
            cycle += 1
    assert int(dut.finishing.value) == 1
    await step(dut, {"enable": 0, "computes": 0})
