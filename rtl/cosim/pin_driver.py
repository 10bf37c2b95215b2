"""The accelerator's pins as the Port of a `rtl.host.driver.Host`, inside a simulation.

The host's memory behind the streams passes beats as `sim.arch.host_memory` says, or with random gaps. Everything
happens at falling edges, where the outputs of a cycle have settled and inputs can be changed without a race with the
rising one.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import Event, FallingEdge, First, RisingEdge

from sim.arch.host_memory import IDEAL, Memory

__all__ = ["PERIOD_NS", "PinDriver"]

PERIOD_NS = 10
INPUTS = ("s_axis_tvalid", "s_axis_tdata", "s_axis_tlast", "m_axis_tready", "s_axil_awaddr", "s_axil_awvalid",
          "s_axil_wdata", "s_axil_wstrb", "s_axil_wvalid", "s_axil_bready", "s_axil_araddr", "s_axil_arvalid",
          "s_axil_rready")


class PinDriver:
    """Drive the pins of `dut`.

    Parameters
    ----------
    dut : the top module
    memory : Memory
        Behind both streams, during runs.
    stall : float, 0 <= stall < 1
        Probability that a beat passes a cycle later than `memory` allows.
    seed : int

    Attributes
    ----------
    characters : list of str
        Bits of every packet that was received as 0, 1, x, lowest first.
    """

    def __init__(self, dut: Any, memory: Memory = IDEAL, stall: float = 0.0, seed: int = 0) -> None:
        self.dut = dut
        self.configure(memory, stall, seed)
        self.beat_bytes = len(dut.s_axis_tdata) // 8
        self.characters: list[str] = []
        self._queue: deque[tuple[bytes, int]] = deque()
        self._packets: deque[tuple[bytes, int]] = deque()
        self._queued, self._sent, self._received = Event(), Event(), Event()
        self._known = 0

    def configure(self, memory: Memory, stall: float, seed: int) -> None:
        """Put another memory behind the streams of the idle machine."""
        self.memory, self.stall, self.random = memory, stall, random.Random(seed)
        self.dut.m_axis_tready.value = int(self.always_ready)

    @property
    def always_ready(self) -> bool:
        """Tell whether outward beats are taken as soon as they are offered."""
        return self.memory == IDEAL and not self.stall

    async def reset(self) -> None:
        """Hold all inputs low for two cycles of reset, then serve the streams."""
        dut = self.dut
        for name in INPUTS:
            getattr(dut, name).value = 0
        dut.rst.value = 1
        Clock(dut.clk, PERIOD_NS, unit="ns").start()
        for _ in range(2):
            await FallingEdge(dut.clk)
        dut.rst.value = 0
        dut.s_axil_wstrb.value = 15
        dut.s_axil_bready.value = dut.s_axil_rready.value = 1
        cocotb.start_soon(self._feed())
        cocotb.start_soon(self._take())

    async def read(self, offset: int) -> int:
        """Read a register."""
        dut = self.dut
        dut.s_axil_araddr.value, dut.s_axil_arvalid.value = offset, 1
        await FallingEdge(dut.clk)
        dut.s_axil_arvalid.value = 0
        if not dut.s_axil_rvalid.value:
            await RisingEdge(dut.s_axil_rvalid)
            await FallingEdge(dut.clk)
        assert dut.s_axil_rresp.value == 0, f"register {offset:#x} cannot be read"
        value = int(dut.s_axil_rdata.value)
        await FallingEdge(dut.clk)
        return value

    async def write(self, offset: int, value: int) -> None:
        """Write a register."""
        dut = self.dut
        dut.s_axil_awaddr.value, dut.s_axil_awvalid.value = offset, 1
        dut.s_axil_wdata.value, dut.s_axil_wvalid.value = value, 1
        await FallingEdge(dut.clk)
        dut.s_axil_awvalid.value = dut.s_axil_wvalid.value = 0
        if not dut.s_axil_bvalid.value:
            await RisingEdge(dut.s_axil_bvalid)
            await FallingEdge(dut.clk)
        assert dut.s_axil_bresp.value == 0, f"register {offset:#x} cannot be written"
        await FallingEdge(dut.clk)

    async def send(self, packet: bytes) -> None:
        """Queue a packet; what follows from a Store is there `latency_cycles` after the Store's end."""
        self._queue.append((packet, self._known + self.memory.latency_cycles if self._known else 0))
        self._sent.clear()
        self._queued.set()

    async def receive(self, length: int) -> bytes | None:
        """Return the next packet, or None if irq rises first."""
        if not self._packets and not self.dut.irq.value:
            self._received.clear()
            await First(self._received.wait(), RisingEdge(self.dut.irq))
        if not self._packets:
            return None
        packet, self._known = self._packets.popleft()
        return packet

    async def interrupt(self) -> None:
        """Wait until irq is high."""
        if not self.dut.irq.value:
            await RisingEdge(self.dut.irq)
        self._known = 0
        await FallingEdge(self.dut.clk)

    async def settle(self) -> None:
        """Wait until everything is sent, then forget what was received."""
        if self._queue or not self._sent.is_set():
            await self._sent.wait()
        self._packets.clear()
        self._known = 0

    def passes(self, cycle: int, since: int = 0) -> bool:
        """Tell whether the host's memory passes a beat in this cycle of a run; it passes none before cycle `since`."""
        return (cycle >= since and self.memory.passes(cycle)
                and not (self.stall and self.random.random() < self.stall))

    async def _feed(self) -> None:
        while True:
            while not self._queue:
                self._sent.set()
                self._queued.clear()
                await self._queued.wait()
            packet, since = self._queue.popleft()
            await self._feed_packet(packet, since)

    async def _feed_packet(self, packet: bytes, since: int) -> None:
        """Offer a beat when it is asked for and the memory lets it pass: it is taken in that cycle."""
        dut, size = self.dut, self.beat_bytes
        slotted = since or self.stall or self.memory != IDEAL
        for start in range(0, len(packet), size):
            dut.s_axis_tdata.value = int.from_bytes(packet[start : start + size], "little")
            dut.s_axis_tlast.value = int(start + size == len(packet))
            if not dut.s_axis_tready.value:
                dut.s_axis_tvalid.value = 0
                await RisingEdge(dut.s_axis_tready)
                await FallingEdge(dut.clk)
            while slotted and dut.trace_busy.value and not self.passes(int(dut.trace_cycle.value), since):
                dut.s_axis_tvalid.value = 0
                await FallingEdge(dut.clk)
            dut.s_axis_tvalid.value = 1
            await FallingEdge(dut.clk)
        dut.s_axis_tvalid.value = dut.s_axis_tlast.value = 0

    async def _take(self) -> None:
        """Take every beat when the memory lets it pass."""
        dut = self.dut
        beats: list[str] = []
        while True:
            dut.m_axis_tready.value = int(self.always_ready)
            if not dut.m_axis_tvalid.value:
                await RisingEdge(dut.m_axis_tvalid)
                await FallingEdge(dut.clk)
            while not self.always_ready and dut.trace_busy.value and not self.passes(int(dut.trace_cycle.value)):
                await FallingEdge(dut.clk)
            dut.m_axis_tready.value = 1
            beats.append(str(dut.m_axis_tdata.value)[::-1])
            if dut.m_axis_tlast.value:
                self._finish_packet("".join(beats))
                beats = []
            await FallingEdge(dut.clk)

    def _finish_packet(self, characters: str) -> None:
        ones = int(characters[::-1].translate(ONES), 2)
        self._packets.append((ones.to_bytes(len(characters) // 8, "little"), int(self.dut.trace_cycle.value) + 1))
        self.characters.append(characters)
        self._received.set()


ONES = str.maketrans({"x": "0", "z": "0", "X": "0", "Z": "0"})
"""Undefined bits as zeros."""
