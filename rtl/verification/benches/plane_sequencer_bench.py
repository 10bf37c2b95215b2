"""The bit-plane sequencer against the order of the contract."""

from __future__ import annotations

from typing import Any

import cocotb

from rtl.core.interfaces import pair_layout
from rtl.encoding.descriptors import pack
from rtl.verification.benches.pe_bench import plane_pairs
from rtl.verification.benches.unit_harness import geometry, reset, step


@cocotb.test()
async def every_plane_pair_comes_once(dut: Any) -> None:
    """Four cycles after a launch come all plane pairs, in order, once, with their signs; steps may touch."""
    shape = geometry()
    layout = pair_layout(shape)
    await reset(dut, ("descriptor", "launch", "step"))
    for bits_w in range(1, 9):
        for bits_a in range(1, 9):
            order = plane_pairs(bits_w, bits_a)
            fields = {"bits_w": bits_w - 1, "bits_a": bits_a - 1, "signed_w": 1, "signed_a": bits_w & 1}
            await step(dut, {"launch": 0})
            dut.descriptor.value = pack(fields, shape.descriptor, "bench")
            launches = [0, len(order)]
            for cycle in range(2 * len(order) + 4):
                await step(dut, {"launch": int(cycle in launches)})
                if cycle < 3:
                    continue
                index = cycle - 3
                pair = {name: field_of(int(dut.select.value), layout, name) for name in ("valid", "first", "negative")}
                if index == 2 * len(order):
                    assert not pair["valid"]
                    continue
                i, j = order[index % len(order)]
                assert (int(dut.w_plane.value), int(dut.a_plane.value)) == (i, j)
                negative = (i == bits_w - 1) != (bool(bits_w & 1) and j == bits_a - 1)
                assert pair == {"valid": 1, "first": int(index % len(order) == 0), "negative": int(negative)}


def field_of(word: int, layout: Any, name: str) -> int:
    """Return a one-bit field of a packed word."""
    return int(word >> layout[name].offset & 1)
