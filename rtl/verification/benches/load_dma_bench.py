"""The load DMA: every word of random tables, row tiles and Loads, and the cycles in which it takes beats."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, Timer

from rtl.encoding.descriptors import pack
from rtl.encoding.geometry import Geometry
from rtl.verification.benches.unit_harness import geometry, reset, step, tensor_beats, write_table

INPUTS = ("table_write", "table_index", "table_data", "prepare", "enable", "computes", "stores", "slot_free",
          "i_valid", "i_payload")
Writes = dict[tuple[str, int, int], int]
"""Words by memory, bank or row, and address."""


@dataclass
class Item:
    """A row tile, or a Load or table that waits for so many ops; its words by memory, bank or row, and address."""

    writes: Writes
    beats: list[int]
    kind: str = "tile"
    computes: int = 0
    stores: int = 0


def entries(rng: random.Random, shape: Geometry) -> Iterator[tuple[dict[str, int], list[Item]]]:
    """Random entries of the table with their items."""
    computes = stores = 0
    for _ in range(10):
        kind = rng.choice(("load", "tile", "table") if shape.table_words else ("load", "tile"))
        if kind == "table":
            held = [rng.getrandbits(shape.table_word_bits) for _ in range(rng.randint(1, min(6, shape.table_words)))]
            computes = min(3, computes + rng.randrange(2))
            writes = {("table", -1, i): word for i, word in enumerate(held)}
            item = Item(writes, list(_parts(held, shape)), kind, computes)
            yield {"table": 1, "table_words": len(held) - 1, "after_computes": computes}, [item]
        elif kind == "load":
            first = rng.randrange(shape.bank_words)
            last = min(shape.bank_words - 1, first + rng.randrange(12))
            computes, stores = min(3, computes + rng.randrange(2)), min(3, stores + rng.randrange(2))
            banks = [[rng.getrandbits(shape.lanes) for _ in range(first, last + 1)] for _ in range(shape.columns)]
            writes = {("bank", c, first + i): word for c, words in enumerate(banks) for i, word in enumerate(words)}
            yield ({"load": 1, "first": first, "last": last, "after_computes": computes, "after_stores": stores},
                   [Item(writes, tensor_beats(banks, shape), kind, computes, stores)])
        else:
            tiles, words = rng.randint(1, 3), rng.randrange(6)
            yield {"tiles": tiles - 1, "words": words}, [row_tile(rng, shape, words) for _ in range(tiles)]


def _parts(words: list[int], shape: Geometry) -> Iterator[int]:
    """Yield the beats of a table, each a part of a word or all of it, the lowest first."""
    bits = shape.machine.stream_bits
    for word in words:
        yield from (word >> first & ((1 << bits) - 1) for first in range(0, shape.table_word_bits, bits))


def row_tile(rng: random.Random, shape: Geometry, words: int) -> Item:
    """Draw a row tile of random bits."""
    rows = [[rng.getrandbits(shape.lanes) for _ in range(shape.packet + words)] for _ in range(shape.rows)]
    writes = {("parameters" if i < shape.packet else "weights", r, i % shape.packet if i < shape.packet
               else i - shape.packet): word for r, held in enumerate(rows) for i, word in enumerate(held)}
    return Item(writes, tensor_beats(rows, shape))


@cocotb.test()
async def takes_items(dut: Any) -> None:
    """Beats are taken as soon as their item may, all words go to their places, and ends are told with the last beat."""
    shape = geometry()
    rng = await reset(dut, INPUTS)
    outstanding = 0
    for flow in (1.0, 0.6, 0.2):
        table, items = [], []
        for index, (fields, found) in enumerate(entries(rng, shape)):
            table.append(pack({"valid": 1, "op": index, **fields}, shape.inward, "bench"))
            items += found
        await write_table(dut, [*table, 0])
        outstanding = await follow(dut, rng, shape, items, flow, outstanding)
        await step(dut, {"enable": 0, "i_valid": 0, "computes": 0, "stores": 0, "slot_free": 0})


async def follow(dut: Any, rng: random.Random, shape: Geometry, items: list[Item], flow: float,
                 outstanding: int) -> int:
    """Feed all items, a beat with probability `flow` in a cycle; the row tiles that still hold a slot."""
    computes = stores = 0
    slot = int(dut.lookup_slot.value)
    for number, item in enumerate(items):
        tile = item.kind == "tile"
        assert int(dut.lookup_slot.value) == slot
        slot ^= item.kind == "table"
        seen: Writes = {}
        taken, opened = 0, False
        while taken < len(item.beats):
            may = (opened or outstanding < 2) if tile else (computes >= item.computes and stores >= item.stores)
            valid = rng.random() < flow
            dut.i_valid.value = valid
            dut.i_payload.value = item.beats[taken] if valid else rng.getrandbits(shape.machine.stream_bits)
            released = rng.random() < 0.1 and outstanding - opened > 0
            dut.slot_free.value = released
            await Timer(1, "ns")
            assert int(dut.i_ready.value) == may, f"item {number}, beat {taken}"
            last = taken == len(item.beats) - 1
            assert not may or int(dut.item_end.value) == last
            assert not may or int(dut.run_end.value) == (last and number == len(items) - 1)
            beat = may and valid
            assert int(dut.slot_filled.value) == (beat and last and tile)
            assert int(dut.loaded.value) == (beat and last and item.kind == "load")
            seen |= writes(dut, shape)
            outstanding += (beat and tile and not opened) - released
            opened |= beat and tile
            taken += beat
            computes, stores = min(3, computes + (rng.random() < 0.1)), min(3, stores + (rng.random() < 0.1))
            await FallingEdge(dut.clk)
            dut.computes.value, dut.stores.value = computes, stores
            await Timer(1, "ns")
        assert seen == item.writes, f"item {number}"
    assert int(dut.finishing.value) == 1
    return outstanding


def writes(dut: Any, shape: Geometry) -> Writes:
    """Return what is written in this cycle."""
    rows, banks, found = int(dut.rows.value), int(dut.bank_write.value), {}
    for r in range(shape.rows):
        if rows >> r & 1:
            memory = "weights" if dut.to_weights.value else "parameters"
            found[memory, r, int(dut.word.value)] = int(getattr(dut, f"data_{r}").value)
    for c in range(shape.columns):
        if banks >> c & 1:
            address = int(getattr(dut, f"bank_address_{c}").value)
            found["bank", c, address] = int(getattr(dut, f"bank_data_{c}").value)
    if int(dut.lookup_write.value):
        found["table", -1, int(dut.lookup_word.value)] = int(dut.lookup_data.value)
    return found
