"""The accelerator's buses under drivers of another hand, with random gaps on every channel."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

from rtl.testbench.clocking import PERIOD_NS
from rtl.testbench.gaps import random_gaps
from rtl.testbench.offers import keeps_offers

__all__ = ["AxiPort"]

OFFERS = {"m_axis": ("tvalid", "tready", ("tdata", "tlast")), "s_axil_b": ("valid", "ready", ("resp",)),
          "s_axil_r": ("valid", "ready", ("data", "resp"))}
"""Channels that the machine offers on: valid, ready, and what must not change before it is taken."""


class AxiPort:
    """The Port of a `rtl.host.driver.Host`, by cocotbext-axi.

    Attributes
    ----------
    split : function
        Makes the frames of a packet that is sent; the packet itself unless a test wants otherwise.
    """

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.split: Callable[[bytes], list[bytes]] = lambda packet: [packet]

    def channels(self) -> tuple[Any, ...]:
        """Return the five channels of the register bus."""
        write, read = self.registers.write_if, self.registers.read_if
        return write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel

    def pause_streams(self, probability: float) -> None:
        """Leave random gaps on both streams."""
        for part in (self.source, self.sink):
            part.set_pause_generator(random_gaps(probability, random.getrandbits(32)))

    def pause_registers(self, probability: float) -> None:
        """Leave random gaps on all channels of the register bus."""
        for channel in self.channels():
            channel.set_pause_generator(random_gaps(probability, random.getrandbits(32)))

    async def reset(self) -> None:
        """Some cycles of reset, in which the drivers take over; then the handshakes are watched."""
        dut = self.dut
        Clock(dut.clk, PERIOD_NS, unit="ns").start()
        dut.rst.value = 1
        await ClockCycles(dut.clk, 2)
        self.registers = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.clk, dut.rst)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.clk, dut.rst)
        for part in (self.source, self.sink, *self.channels()):
            part.log.setLevel(logging.WARNING)
        await ClockCycles(dut.clk, 2)
        dut.rst.value = 0
        await RisingEdge(dut.clk)
        for prefix, (valid, ready, kept) in OFFERS.items():
            names = (f"{prefix}_{n}" if prefix == "m_axis" else f"{prefix}{n}" for n in (valid, ready, *kept))
            offered, taken, *rest = (getattr(dut, name) for name in names)
            cocotb.start_soon(keeps_offers(dut.clk, offered, taken, rest))

    async def read(self, offset: int) -> int:
        """Read a register."""
        answer = await self.registers.read(offset, 4)
        assert answer.resp == AxiResp.OKAY, f"register {offset:#x} cannot be read"
        return int.from_bytes(answer.data, "little")

    async def write(self, offset: int, value: int) -> None:
        """Write a register."""
        answer = await self.registers.write(offset, value.to_bytes(4, "little"))
        assert answer.resp == AxiResp.OKAY, f"register {offset:#x} cannot be written"

    async def probe_read(self, address: int) -> AxiResp:
        """Read any address, and return the response."""
        return (await self.registers.read(address, 1)).resp

    async def probe_write(self, address: int) -> AxiResp:
        """Write a byte of zeros to any address, and return the response."""
        return (await self.registers.write(address, b"\0")).resp

    async def send(self, packet: bytes) -> None:
        """Queue a packet."""
        for frame in self.split(packet):
            await self.source.send(AxiStreamFrame(frame))

    async def receive(self, length: int) -> bytes | None:
        """Return the next packet, or None if irq rises first."""
        while self.sink.empty() and not self.dut.irq.value:
            await RisingEdge(self.dut.clk)
        return None if self.sink.empty() else bytes(self.sink.recv_nowait().tdata)

    async def interrupt(self) -> None:
        """Wait until irq is high."""
        if not self.dut.irq.value:
            await RisingEdge(self.dut.irq)

    async def settle(self) -> None:
        """Wait until everything is sent, then forget what was received."""
        await self.source.wait()
        self.sink.clear()

    async def stall_after(self, beats: int) -> None:
        """Send nothing more after about so many beats, until irq rises."""
        self.source.pause = beats == 0
        for _ in range(beats):
            await RisingEdge(self.dut.clk)
            while not (self.dut.s_axis_tvalid.value and self.dut.s_axis_tready.value):
                await RisingEdge(self.dut.clk)
        self.source.pause = True
        await RisingEdge(self.dut.irq)
        self.source.pause = False
