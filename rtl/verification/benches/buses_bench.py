"""Right runs of the whole machine, with gaps and back-pressure on all seven channels of its buses."""

from __future__ import annotations

from itertools import accumulate, cycle, pairwise
from typing import Any

import cocotb
from cocotbext.axi import AxiResp

from rtl.encoding.program_image import IMAGE_VERSION
from rtl.shell.csr_map import ADDRESS_BITS, ID, REGISTER_VERSION, REGISTERS, counter_offset, register
from rtl.verification.benches.top_session import JOBS, LIMIT_US, session
from sim.ir.ops import Queue

PRESSURES = [(0.0, 0.0), (0.3, 0.7), (0.8, 0.5)]
"""Probabilities of a gap on the streams and on the register bus."""


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
@cocotb.parametrize(pressure=PRESSURES)
async def results_do_not_depend_on_gaps(dut: Any, pressure: tuple[float, float]) -> None:
    """Maps and events of all programs are right, loaded one after another and run again and again."""
    opened = await session(dut)
    opened.port.pause_streams(pressure[0])
    opened.port.pause_registers(pressure[1])
    for number in range(len(JOBS)):
        await opened.run(number, images=2)
    await opened.run()


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def packets_may_end_with_any_item(dut: Any) -> None:
    """A tlast at the end of every item changes nothing."""
    opened = await session(dut)
    await opened.hosts[0].load()
    segments = cycle(JOBS[0].facts["segments"])

    def items(packet: bytes) -> list[bytes]:
        ends = list(accumulate(next(segments)))
        assert ends[-1] == len(packet)
        return [packet[start:end] for start, end in pairwise([0, *ends])]

    opened.port.split = items
    await opened.run(load=False)


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def registers_say_what_is_there(dut: Any) -> None:
    """Identity and versions; a run's progress and counters stay to be read."""
    opened = await session(dut)
    read, plan = opened.port.read, JOBS[0].plan
    assert await read(register("ID").offset) == ID
    assert await read(register("VERSION").offset) == IMAGE_VERSION | REGISTER_VERSION << 16
    assert not await opened.status("program")
    await opened.run()
    assert await opened.status("program")
    assert not await opened.status("running")
    for queue in Queue:
        ended = await read(register(queue.plural.upper()).offset)
        assert ended == sum(op.queue == queue for op in plan.program.ops), queue
    assert await read(counter_offset("cycles")) == int(dut.trace_cycle.value)


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def every_address_answers(dut: Any) -> None:
    """Registers read and refuse as their access says; all other and all misaligned addresses answer SLVERR."""
    opened = await session(dut)
    known = {reg.offset: reg for reg in REGISTERS}
    for offset in {*range(0, 1 << ADDRESS_BITS, 52), *range(0, 0x40), *range(0x100, 0x110), *known, max(known) + 4}:
        allowed = {"read": offset in known, "write": offset in known and known[offset].access != "read"}
        responses = {"read": await opened.port.probe_read(offset), "write": await opened.port.probe_write(offset)}
        for access, response in responses.items():
            expected = AxiResp.OKAY if allowed[access] else AxiResp.SLVERR
            assert response == expected, f"{access} of {offset:#x}: {response.name}"


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def strobes_choose_bytes(dut: Any) -> None:
    """A write changes the strobed bytes of TIMEOUT alone."""
    opened = await session(dut)
    offset = register("TIMEOUT").offset
    await opened.port.write(offset, 0x11223344)
    assert (await opened.port.registers.write(offset, b"\xaa\xbb")).resp == AxiResp.OKAY
    assert await opened.port.read(offset) == 0x1122BBAA


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def accesses_may_overlap(dut: Any) -> None:
    """Addresses and data that run ahead of the answers, with gaps everywhere: every access is answered, in order."""
    opened = await session(dut)
    opened.port.pause_registers(0.6)
    offset, registers = register("TIMEOUT").offset, opened.port.registers
    reads = [registers.init_read(reg.offset, 4) for reg in REGISTERS[:3] * 5]
    writes = [registers.init_write(offset, value.to_bytes(4, "little")) for value in range(15)]
    for event in (*reads, *writes):
        await event.wait()
    found = [int.from_bytes(event.data.data, "little") for event in reads]
    assert found == [await opened.port.read(reg.offset) for reg in REGISTERS[:3]] * 5
    assert all(event.data.resp == AxiResp.OKAY for event in (*reads, *writes))
    assert await opened.port.read(offset) == 14
