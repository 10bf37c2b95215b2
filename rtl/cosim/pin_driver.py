"""The accelerator's pins as the Port of a `rtl.host.driver.Host`, inside a simulation.

The host's memory behind the streams passes beats as `sim.arch.host_memory` says, or with random gaps.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any

import cocotb
from cocotb.triggers import Event, FallingEdge, First, RisingEdge

from rtl.testbench.clocking import PERIOD_NS, start
from rtl.testbench.gaps import random_gaps
from rtl.testbench.lanes import Lanes
from rtl.testbench.slotted import feed, take
from rtl.testbench.streams import Stream
from sim.arch.host_memory import IDEAL, Memory

__all__ = ["PERIOD_NS", "PinDriver"]

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
        self.inward, self.outward = (Stream.of(dut, "clk", f"{prefix}_axis_t*", Lanes(1, len(dut.s_axis_tdata)))
                                     for prefix in "sm")
        self.configure(memory, stall, seed)
        self.beat_bytes = len(dut.s_axis_tdata) // 8
        self.characters: list[str] = []
        self._queue: deque[tuple[bytes, int]] = deque()
        self._packets: deque[tuple[bytes, int]] = deque()
        self._queued, self._sent, self._received = Event(), Event(), Event()
        self._known = 0

    def configure(self, memory: Memory, stall: float, seed: int) -> None:
        """Put another memory behind the streams of the idle machine."""
        self.memory, self.stall, self.gaps = memory, stall, random_gaps(stall, seed)
        self.dut.m_axis_tready.value = int(self.always_ready)

    @property
    def always_ready(self) -> bool:
        """Tell whether outward beats are taken as soon as they are offered."""
        return self.memory == IDEAL and not self.stall

    async def reset(self) -> None:
        """Hold all inputs low for two cycles of reset, then serve the streams."""
        dut = self.dut
        await start(dut.clk, dut.rst, [getattr(dut, name) for name in INPUTS])
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

    def passes(self, since: int = 0) -> bool:
        """Tell whether the host's memory passes a beat in the cycle at hand; in a run it passes none before `since`."""
        if (self.always_ready and not since) or not self.dut.trace_busy.value:
            return True
        cycle = int(self.dut.trace_cycle.value)
        return cycle >= since and self.memory.passes(cycle) and not next(self.gaps)

    async def _feed(self) -> None:
        size = self.beat_bytes
        while True:
            while not self._queue:
                self._sent.set()
                self._queued.clear()
                await self._queued.wait()
            packet, since = self._queue.popleft()
            words = [int.from_bytes(packet[start : start + size], "little") for start in range(0, len(packet), size)]
            await feed(self.inward, words, partial(self.passes, since))

    async def _take(self) -> None:
        beats: list[str] = []
        while True:
            word, last = await take(self.outward, self.passes, eager=self.always_ready)
            beats.append(word[::-1])
            if last:
                self._finish_packet("".join(beats))
                beats = []
            await FallingEdge(self.dut.clk)

    def _finish_packet(self, characters: str) -> None:
        ones = int(characters[::-1].translate(ONES), 2)
        self._packets.append((ones.to_bytes(len(characters) // 8, "little"), int(self.dut.trace_cycle.value) + 1))
        self.characters.append(characters)
        self._received.set()


ONES = str.maketrans({"x": "0", "z": "0", "X": "0", "Z": "0"})
"""Undefined bits as zeros."""
