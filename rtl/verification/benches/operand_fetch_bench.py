"""The operand fetch: its switch, padding and segments."""

from __future__ import annotations

from math import gcd
from typing import Any

import cocotb

from rtl.core.interfaces import read_layout
from rtl.encoding.descriptors import pack
from rtl.verification.benches.unit_harness import geometry, reset, step

HEIGHT, WIDTH = 40, 6


def stored(bank: int, address: int, lanes: int) -> int:
    """Word of a memory in which every word tells its place."""
    return (bank * 2654435761 + address * 40503 + 12345) >> 3 & ((1 << lanes) - 1)


@cocotb.test()
async def serves_every_column(dut: Any) -> None:
    """For every stride, with its phases, each column gets the word of its own map row, or the zero point outside."""
    shape = geometry()
    columns, lanes = shape.columns, shape.lanes
    rng = await reset(dut, ("read", "phase", "columns", "slice_lane", "request", "block_address", "tap_present",
                            "tap_column", "tap_address", "pixel_row", "pixel_column", "pixel_address"))
    for _ in range(80):
        stride, top = rng.randint(1, 4), rng.randint(0, 3)
        phases, zero = gcd(stride, columns), rng.getrandbits(8)
        per_phase = columns // phases
        packing = 1 << rng.randrange(lanes.bit_length())
        segment = lanes // packing
        slot, plane = rng.randrange(packing), rng.randrange(8)
        fields: dict[str, int | list[int]] = {
            "width": WIDTH, "height": HEIGHT, "zero_code": zero, "segment_mask": lanes - segment,
            "phase": [c // per_phase for c in range(columns)]}
        word = pack(fields, shape.descriptor, "bench")
        rows = [stride * c - top for c in range(columns)]
        group_row, column = columns * stride * rng.randrange(4), rng.randint(-2, WIDTH + 1)
        enabled = rng.getrandbits(columns)
        values = {"descriptor": word, "running": word, "tap_present": 1, "tap_column": column,
                  "pixel_row": group_row, "tap_address": rng.randrange(32),
                  "pixel_address": rng.randrange(32), "columns": enabled}
        for c in range(columns):
            values |= {f"tap_row_{c}": rows[c], f"tap_bank_{c}": rows[c] % columns,
                       f"tap_quotient_{c}": (rows[c] // columns) % 16}
        for phase in range(phases):
            request = {"plane": plane, "segment_lane": slot * segment % lanes}
            values |= {"read": 1, "phase": phase, "request": pack(request, read_layout(shape), "bench")}
            await read(dut, values, lanes, columns)
            for c in range(columns):
                if c // per_phase != phase or not enabled >> c & 1:
                    continue
                inside = 0 <= rows[c] + group_row < HEIGHT and 0 <= column < WIDTH
                address = values["tap_address"] + values["pixel_address"] + plane + values[f"tap_quotient_{c}"]
                outside = ((1 << lanes) - 1) * (zero >> plane & 1)
                expected = stored(rows[c] % columns, address, lanes) if inside else outside
                mask = ((1 << segment) - 1) << (slot * segment)
                got = int(getattr(dut, f"segment_word_{c}").value)
                assert int(dut.segment_mask.value) == mask
                assert got & mask == (expected << (slot * segment)) & mask, (stride, c, phase, slot, segment)


async def read(dut: Any, values: dict[str, int], lanes: int, columns: int) -> None:
    """Make a read, with memories that answer in the cycle after their address."""
    await step(dut, values)
    wanted = int(dut.bank_read.value)
    answers = {}
    for bank in range(columns):
        if wanted >> bank & 1:
            answers[f"bank_data_{bank}"] = stored(bank, int(getattr(dut, f"bank_address_{bank}").value), lanes)
        else:
            answers[f"bank_data_{bank}"] = 0
    await step(dut, {"read": 0})
    await step(dut, answers)
