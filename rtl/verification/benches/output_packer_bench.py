"""The packer against the planes of the codes that it took."""

from __future__ import annotations

from itertools import product
from math import gcd
from typing import Any

import cocotb

from rtl.core.datapath.output_packer import START_STAGES
from rtl.encoding.descriptors import pack
from rtl.verification.benches.unit_harness import geometry, reset, step


@cocotb.test()
async def writes_planes(dut: Any) -> None:
    """Three cycles after a pixel's slot its planes come out in their phases, lowest first, into the row tile's lanes.

    Column c writes row `spacing*c` of the output, which lies in bank `spacing*c mod columns`; at the end of a row the
    walk takes another step.
    """
    shape = geometry()
    rows, columns, groups = shape.rows, shape.columns, shape.lane_slices
    rng = await reset(dut, ("descriptor", "begun", "slot_end", "capture_units", "capture_row", "capture_set",
                            "capture_columns"))
    for _ in range(10):
        bits, pixels, tiles = rng.randint(1, shape.machine.acc_bits), rng.randint(1, 4), rng.randint(1, 2 * groups)
        base, partial = rng.randrange(16), rng.randrange(1, 1 << columns)
        last_group = rng.randrange(pixels)
        spacing, width = rng.randint(1, 4), rng.randint(1, 3)
        phases = gcd(spacing, columns)
        quotients = [rng.randrange(16) for _ in range(columns)]
        banks = [spacing * c % columns for c in range(columns)]
        turns = [c // (columns // phases) for c in range(columns)]
        fields: dict[str, int | list[int]] = {
            "out_width": width - 1, "out_row_step": 11, "out_phases": phases - 1, "out_quotient": quotients,
            "out_bank": banks, "out_phase": turns, "pixels": pixels - 1, "row_tiles": tiles - 1, "bits_out": bits - 1,
            "out_base": base, "out_step": 5, "out_block_step": bits, "last_row_group_pixel": last_group,
            "last_row_group_columns": partial}
        dut.descriptor.value = pack(fields, shape.descriptor, "bench")
        await step(dut, {"begun": 1})
        await step(dut, {"begun": 0})
        for index in range(tiles * pixels):
            tile, pixel = divmod(index, pixels)
            codes = [[rng.getrandbits(bits) for _ in range(columns)] for _ in range(rows)]
            await capture(dut, shape, codes, index % 2)
            enabled = partial if pixel >= last_group else (1 << columns) - 1
            for plane, phase in product(range(bits), range(phases)):
                await step(dut, {})
                address = base + tile // groups * bits + pixel * 5 + pixel // width * 6 + plane
                shown = [c for c in range(columns) if turns[c] == phase and enabled >> c & 1]
                mask = sum(1 << banks[c] for c in shown)
                assert (int(dut.write_write.value), int(dut.write_slices.value)) == (mask, 1 << tile % groups)
                for c in shown:
                    lanes = sum((codes[r][c] >> plane & 1) << r for r in range(rows))
                    word = int(getattr(dut, f"write_data_{banks[c]}").value)
                    at = int(getattr(dut, f"write_address_{banks[c]}").value)
                    assert word >> (tile % groups * rows) & ((1 << rows) - 1) == lanes
                    assert at == (address + quotients[c]) % (1 << shape.address_bits)
            assert int(dut.done.value) == int(index == tiles * pixels - 1)
            await step(dut, {})
            assert int(dut.write_write.value) == 0


async def capture(dut: Any, shape: Any, codes: list[list[int]], pixel_set: int) -> None:
    """Hand over the codes of a pixel row by row; the slot ends after the last of them."""
    for row in range(shape.rows_per_unit):
        values = {"capture_units": (1 << shape.units) - 1, "capture_row": row, "capture_set": pixel_set,
                  "capture_columns": (1 << shape.columns) - 1}
        for unit in range(shape.units):
            for c in range(shape.columns):
                values[f"code_{unit}_{c}"] = codes[unit * shape.rows_per_unit + row][c]
        await step(dut, values)
    await step(dut, {"capture_units": 0, "slot_end": 1})
    await step(dut, {"slot_end": 0})
    for _ in range(START_STAGES - 1):
        await step(dut, {})
