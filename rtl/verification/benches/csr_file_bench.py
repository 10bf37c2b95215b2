"""The registers behind the bus: random reads and writes against a model made from the table."""

from __future__ import annotations

from typing import Any

import cocotb
from cocotb.triggers import Timer

from rtl.shell.csr_file import PLAIN, port_name
from rtl.shell.csr_map import ADDRESS_BITS, COUNTER_NAMES, Register, counter_offset
from rtl.verification.benches.unit_harness import reset, step

CYCLES = 3000


def ports(access: str) -> dict[str, tuple[Register, Any]]:
    """Ports of all fields of registers with an access."""
    return {port_name(reg, field): (reg, field) for reg in PLAIN if reg.access == access for field in reg.fields}


@cocotb.test()
async def registers_follow_the_table(dut: Any) -> None:
    """Reads, writes, strobes, pulses, events and irq are those of a model, for all addresses."""
    inputs = ports("read") | ports("event")
    rng = await reset(dut, ("access_write", "access_write_address", "access_write_data", "access_write_strobe",
                            "access_read", "access_read_address", "cycle", "counter_value", *inputs))
    stored = dict.fromkeys(ports("read-write") | ports("event"), 0)
    known = {reg.offset: reg for reg in PLAIN}
    for _ in range(CYCLES):
        address = rng.choice([*known, *known, rng.getrandbits(ADDRESS_BITS)])
        data, strobe, write = rng.getrandbits(32), rng.getrandbits(4), rng.random() < 0.5
        mask = sum(255 << 8 * byte for byte in range(4) if strobe >> byte & 1)
        values = {name: rng.getrandbits(field.width) * (rng.random() < 0.3) for name, (_, field) in inputs.items()}
        for name, value in {**values, "access_write": int(write), "access_write_address": address,
                            "access_write_data": data, "access_write_strobe": strobe,
                            "access_read_address": address}.items():
            getattr(dut, name).value = value
        await Timer(1, unit="ns")
        reg = known.get(address)
        check_outputs(dut, reg, stored, values, address)
        pulses = data & mask if write and reg and reg.access == "write" else 0
        for name, (_, field) in ports("write").items():
            assert int(getattr(dut, name).value) == field.of(pulses), name
        if write and reg and reg.access in ("read-write", "event"):
            for field in reg.fields:
                name = port_name(reg, field)
                old, new = stored[name], field.of(data & mask)
                stored[name] = old & ~new if reg.access == "event" else new | old & ~field.of(mask)
        for name in ports("event"):
            stored[name] |= values[name]
        await step(dut, {})


def check_outputs(dut: Any, reg: Register | None, stored: dict[str, int], values: dict[str, int], address: int) -> None:
    """Check what is read, what is refused, and irq."""
    if not 0x100 <= address < 0x200:
        assert dut.access_read_error.value == (reg is None), hex(address)
    assert dut.access_write_error.value == (reg is None or reg.access == "read"), hex(address)
    if reg is not None:
        now = values | stored
        word = 0 if reg.access == "write" else sum(now[port_name(reg, f)] << f.low for f in reg.fields)
        assert int(dut.access_read_data.value) == word, reg.name
    for name in ports("read-write"):
        assert int(getattr(dut, name).value) == stored[name], name
    raised = any(stored[f"interrupt_{name}"] and stored[f"interrupt_enable_{name}"] for name in ("done", "fault"))
    assert bool(dut.irq.value) == raised


@cocotb.test()
async def counters_are_read_whole(dut: Any) -> None:
    """Both halves of a counter belong to the moment of its low one; a high half alone, and other addresses, say so."""
    rng = await reset(dut, ("access_read", "access_write", "access_read_address", "cycle", "counter_value"))
    for number, name in enumerate(COUNTER_NAMES):
        value = rng.getrandbits(40)
        port = "counter_value" if number else "cycle"
        await step(dut, {port: value, "access_read": 1, "access_read_address": counter_offset(name)})
        assert int(dut.access_read_data.value) == value & 0xFFFFFFFF
        assert not number or int(dut.counter_number.value) == number - 1
        await step(dut, {port: rng.getrandbits(40), "access_read_address": counter_offset(name) + 4})
        assert int(dut.access_read_data.value) == value >> 32, name
    for address, refused in ((counter_offset("cycles") + 2, 1), (counter_offset(COUNTER_NAMES[-1]) + 8, 1), (0x900, 1),
                             (counter_offset(COUNTER_NAMES[-1]) + 4, 0)):
        await step(dut, {"access_read_address": address})
        assert dut.access_read_error.value == refused, hex(address)
