"""The drivers, monitors and memories of `rtl.testbench` on a register stage and on bare signals."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge
from cocotb.types import LogicArray

from rtl.testbench.axi import AxiSink, AxiSource
from rtl.testbench.clocking import start
from rtl.testbench.gaps import PATTERNS, gaps, random_gaps
from rtl.testbench.lanes import UNDEFINED, Lanes
from rtl.testbench.memories import MemoryModel, Port
from rtl.testbench.scoreboard import Scoreboard
from rtl.testbench.streams import Joined, Monitor, Stream, StreamSink, StreamSource

LIMIT_US = 100
LANES = Lanes(5, 3, signed=True)


def draw(count: int) -> np.ndarray:
    """Draw codes of the lanes."""
    return np.random.default_rng(random.getrandbits(32)).integers(-16, 16, count)


async def begin(dut: Any) -> tuple[Stream, Stream]:
    """Reset, and return both streams of the stage."""
    streams = Stream.of(dut, "clk", "s_axis_t*", LANES), Stream.of(dut, "clk", "m_axis_t*", LANES)
    await start(dut.clk, dut.rst, [streams[0].valid, streams[1].ready])
    return streams


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
@cocotb.parametrize(into=[*PATTERNS], out=["none", "half", "long bursts"])
async def words_pass_in_order(dut: Any, into: str, out: str) -> None:
    """Whatever the gaps on both sides, every word comes out once, in order, with the end of its packet."""
    streams = await begin(dut)
    source = StreamSource(streams[0], gaps(into, 1))
    sink, monitor, board = StreamSink(streams[1], gaps(out, 2)), Monitor(streams[0]), Scoreboard()
    for number, length in enumerate((3, 30, 9)):
        codes = draw(length)
        board.expect(f"packet {number}", codes, order=[(i,) for i in range(length)])
        source.send(codes)
    for number in range(3):
        board.take(f"packet {number}", await sink.receive_packet())
    await source.sent()
    assert len(monitor.words) == 14
    board.check()


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def words_pass_at_full_rate(dut: Any) -> None:
    """Without gaps a word passes in every cycle."""
    streams = await begin(dut)
    source, sink = StreamSource(streams[0]), StreamSink(streams[1])
    source.send(draw(3 * 50))
    await sink.receive(1)
    for _ in range(50):
        await FallingEdge(dut.clk)
    assert len(sink.words) == 49


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def axi_streams_carry_the_same(dut: Any) -> None:
    """cocotbext-axi's drivers, given lanes and gaps, pass packets of codes."""
    await begin(dut)
    source = AxiSource(dut, "s_axis", dut.clk, dut.rst, LANES, gaps("half", 3))
    sink = AxiSink(dut, "m_axis", dut.clk, dut.rst, LANES, gaps("bursts", 4))
    for length in (3, 30):
        codes = draw(length)
        await source.send(codes)
        assert await sink.receive() == codes.tolist()


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def signals_are_joined(dut: Any) -> None:
    """Two signals are one word, the first in its lowest bits."""
    joined = Joined(dut.address_a, dut.write_data_a)
    joined.value = 0x5A << 3 | 6
    await start(dut.clk)
    assert (int(dut.address_a.value), int(dut.write_data_a.value), len(joined)) == (6, 0x5A, 11)
    assert joined.value == f"{0x5A:08b}110"


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
async def undefined_bits_are_seen(dut: Any) -> None:
    """A code with an undefined bit is told from all others; its neighbours are what they are."""
    streams = await begin(dut)
    sink = StreamSink(streams[1])
    dut.s_axis_tdata.value, dut.s_axis_tvalid.value = LogicArray("0" + "11111" + "0X000" + "00111"), 1
    await FallingEdge(dut.clk)
    dut.s_axis_tvalid.value = 0
    assert await sink.receive(1) == [7, UNDEFINED, -1]


@cocotb.test(timeout_time=LIMIT_US, timeout_unit="us")
@cocotb.parametrize(latency=[1, 3], pause=[0.0, 0.6])
async def memories_answer_after_their_latency(dut: Any, latency: int, pause: float) -> None:
    """Two ports read and write as a dictionary would, the reads of a cycle before its writes."""
    await start(dut.clk)
    ports = [Port(dut.address_a, dut.read_a, dut.read_data_a, dut.write_a, dut.write_data_a, dut.mask_a, dut.ready_a,
                  dut.answered_a, latency, random_gaps(pause, 5)),
             Port(dut.address_b, dut.read_b, dut.read_data_b, latency=latency)]
    MemoryModel(dut.clk, 8, ports, range(6))
    words = [f"{word:08b}" for word in range(6)] + ["X" * 8] * 2
    rng, due = random.Random(latency), dict[tuple[str, int], str]()
    for cycle in range(200):
        asks = {"read_a": rng.getrandbits(1), "write_a": rng.getrandbits(1), "address_a": rng.randrange(8),
                "write_data_a": rng.randrange(256), "mask_a": rng.randrange(4), "read_b": rng.getrandbits(1),
                "address_b": rng.randrange(8)}
        for name, value in asks.items():
            getattr(dut, name).value = value
        await RisingEdge(dut.clk)
        for port in "ab":
            if (port, cycle) in due:
                assert str(getattr(dut, f"read_data_{port}").value) == due[port, cycle], (cycle, port)
        assert int(dut.answered_a.value) == (("a", cycle) in due)
        free = dut.ready_a.value == 1
        for port, takes in (("a", free), ("b", True)):
            if asks[f"read_{port}"] and takes:
                due[port, cycle + latency] = words[asks[f"address_{port}"]]
        if asks["write_a"] and free:
            old, new = words[asks["address_a"]], f"{asks['write_data_a']:08b}"
            high, low = (new if asks["mask_a"] >> granule & 1 else old for granule in (1, 0))
            words[asks["address_a"]] = high[:4] + low[4:]
        await FallingEdge(dut.clk)
