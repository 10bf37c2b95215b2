"""The accelerator behind a serial line: the driver of boards, byte by byte through the line.

The jobs are those of `top_session`; BITWRIGHT_BIT_CYCLES are the cycles of a bit.
"""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Event, FallingEdge, RisingEdge, Timer

from rtl.board.serial_port import SerialPort
from rtl.board.uart import BREAK_BITS
from rtl.cosim.jobs import Job, read_jobs
from rtl.encoding.geometry import Geometry
from rtl.encoding.program_image import beat_bits, encode
from rtl.host.driver import Host
from rtl.shell.csr_map import register
from rtl.shell.fault_codes import FaultCode
from rtl.verification.benches.top_session import fails
from sim.errors import EngineError

JOBS = read_jobs(Path(os.environ["BITWRIGHT_JOB"]))
BIT_CYCLES = int(os.environ["BITWRIGHT_BIT_CYCLES"])
PERIOD_NS = 10
BIT_NS = BIT_CYCLES * PERIOD_NS
LIMIT_MS = 4
"""Simulated time after which a test has failed: several times what any of them takes."""


class CocotbLine:
    """A host's end of the line, which keeps its own time: its bits are 2 % longer than those of the board.

    Bits of lanes that carry no channel are undefined in simulation; a line has some level then, here a low one.
    """

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.bit_ns = BIT_NS * 51 // 50
        self.outgoing: deque[int] = deque()
        self.received = bytearray()
        self.more, self.come = Event(), Event()
        dut.rx.value = 1
        cocotb.start_soon(self._send())
        cocotb.start_soon(self._receive())

    async def read(self) -> bytes:
        """Return the bytes that have come, at least one."""
        while not self.received:
            self.come.clear()
            await self.come.wait()
        found = bytes(self.received)
        self.received.clear()
        return found

    def write(self, content: bytes) -> None:
        """Send bytes."""
        self.outgoing.extend(content)
        self.more.set()

    async def interrupt(self) -> None:
        """Send a break."""
        self.dut.rx.value = 0
        await Timer((BREAK_BITS + 2) * self.bit_ns, "ns")
        self.dut.rx.value = 1
        await Timer(self.bit_ns, "ns")

    async def _send(self) -> None:
        while True:
            while not self.outgoing:
                self.more.clear()
                await self.more.wait()
            byte = self.outgoing.popleft()
            for bit in (0, *(byte >> place & 1 for place in range(8)), 1):
                self.dut.rx.value = bit
                await Timer(self.bit_ns, "ns")

    async def _receive(self) -> None:
        while True:
            await FallingEdge(self.dut.tx)
            await Timer(BIT_NS * 3 // 2, "ns")
            byte = 0
            for place in range(8):
                byte |= (self.dut.tx.value == 1) << place
                await Timer(BIT_NS, "ns")
            assert self.dut.tx.value == 1, "a byte has no stop bit"
            self.received.append(byte)
            self.come.set()


async def opened(dut: Any) -> CocotbLine:
    """Return the line of a board after reset."""
    Clock(dut.clk, PERIOD_NS, unit="ns").start()
    dut.rst.value = 1
    line = CocotbLine(dut)
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0
    await RisingEdge(dut.clk)
    return line


def host_on(line: CocotbLine, program: Job) -> Host:
    """Return a host of a Program behind the line."""
    machine = program.plan.machine
    return Host(SerialPort(line, beat_bits(machine) // 8), program.plan,
                encode(program.facts["words"], Geometry(machine)))


async def check_run(host: Host, program: Job, image: int) -> None:
    """Run an image: maps and counters of events are right."""
    result = await host.run({name: codes[image] for name, codes in program.part("input").items()})
    for name, codes in program.part("map").items():
        assert np.array_equal(result.maps[name], codes[image]), f"tensor {name}"
    for name, value in program.facts["counters"].items():
        assert result.counters[name] == value, f"{name} is {result.counters[name]}, not {value}"


@cocotb.test(timeout_time=LIMIT_MS, timeout_unit="ms")
async def programs_run_through_the_line(dut: Any) -> None:
    """Programs are loaded, one after another, and run twice each."""
    line = await opened(dut)
    for program in JOBS:
        host = host_on(line, program)
        await host.load()
        for image in range(2):
            await check_run(host, program, image)


@cocotb.test(timeout_time=LIMIT_MS, timeout_unit="ms")
async def a_break_begins_anew(dut: Any) -> None:
    """A break in the middle of a packet resets board and machine, after which a new host runs its Program."""
    line = await opened(dut)
    await host_on(line, JOBS[-1]).load()
    line.write(b"S\x07\x01abc")
    while line.outgoing:
        await Timer(BIT_NS, "ns")
    await Timer(20 * BIT_NS, "ns")
    await line.interrupt()
    line.received.clear()
    host = host_on(line, JOBS[-1])
    await fails(host.run({name: codes[0] for name, codes in JOBS[-1].part("input").items()}), FaultCode.COMMAND)
    await host.load()
    await check_run(host, JOBS[-1], 0)


@cocotb.test(timeout_time=LIMIT_MS, timeout_unit="ms")
async def a_register_that_is_none_is_refused(dut: Any) -> None:
    """The answer of the bus comes back, and the line goes on."""
    line = await opened(dut)
    port = SerialPort(line, beat_bits(JOBS[0].plan.machine) // 8)
    with pytest.raises(EngineError, match=r"^register 0x[0-9a-f]+ cannot be read$"):
        await port.read(register("TIMEOUT").offset + 1)
    await port.write(register("TIMEOUT").offset, 77)
    assert await port.read(register("TIMEOUT").offset) == 77
