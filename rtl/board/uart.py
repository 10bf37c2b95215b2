"""A serial line: bytes of 8 data bits, lowest first, between a start bit and a stop bit, without parity."""

from __future__ import annotations

from amaranth.hdl import C, Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["BREAK_BITS", "UartReceiver", "UartTransmitter"]

FRAME_BITS = 10
BREAK_BITS = 2 * FRAME_BITS
"""Bits for which the line is low in a break: no byte keeps it low for half as long."""


class UartReceiver(wiring.Component):
    """Take bytes from a line.

    Parameters
    ----------
    bit_cycles : int, at least 4
        Cycles of a bit.

    Members
    -------
    rx : the line, from another clock
    data : the byte that has come
    valid : for one cycle, `data` is new
    broken : the line has been low for `BREAK_BITS` bits or longer
    """

    def __init__(self, bit_cycles: int) -> None:
        self.bit_cycles = bit_cycles
        super().__init__({
            "rx": In(1),
            "data": Out(8),
            "valid": Out(1),
            "broken": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        synchronized, line = Signal(init=1), Signal(init=1)
        wait = Signal(range(self.bit_cycles))
        left = Signal(range(FRAME_BITS + 1))
        m.d.sync += [
            synchronized.eq(self.rx),
            line.eq(synchronized),
            self.valid.eq(0),
        ]
        with m.If(left == 0):
            m.d.sync += wait.eq(self.bit_cycles // 2)
            with m.If(~line):
                m.d.sync += left.eq(FRAME_BITS)
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Else():
            m.d.sync += [
                wait.eq(self.bit_cycles - 1),
                left.eq(left - 1),
            ]
            with m.If(left == 1):
                m.d.sync += self.valid.eq(line)
            with m.Elif(left != FRAME_BITS):
                m.d.sync += self.data.eq(Cat(self.data[1:], line))
            with m.Elif(line):
                m.d.sync += left.eq(0)
        self._count_low(m, line)
        with m.If(self.broken):
            m.d.sync += left.eq(0)
        return m

    def _count_low(self, m: Module, line: Signal) -> None:
        longest = BREAK_BITS * self.bit_cycles
        low = Signal(range(longest + 1))
        m.d.comb += self.broken.eq(low == longest)
        with m.If(line):
            m.d.sync += low.eq(0)
        with m.Elif(~self.broken):
            m.d.sync += low.eq(low + 1)


class UartTransmitter(wiring.Component):
    """Put bytes on a line.

    Parameters
    ----------
    bit_cycles : int, at least 1
        Cycles of a bit.

    Members
    -------
    i : bytes
    tx : the line
    """

    def __init__(self, bit_cycles: int) -> None:
        self.bit_cycles = bit_cycles
        super().__init__({
            "i": In(stream.Signature(8)),
            "tx": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        frame = Signal(FRAME_BITS, init=(1 << FRAME_BITS) - 1)
        wait = Signal(range(self.bit_cycles + 1))
        left = Signal(range(FRAME_BITS + 1))
        m.d.comb += [
            self.tx.eq(frame[0]),
            self.i.ready.eq(left == 0),
        ]
        with m.If(left == 0):
            m.d.sync += wait.eq(self.bit_cycles - 1)
            with m.If(self.i.valid):
                m.d.sync += [
                    frame.eq(Cat(C(0, 1), self.i.payload, C(1, 1))),
                    left.eq(FRAME_BITS),
                ]
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Else():
            m.d.sync += [
                wait.eq(self.bit_cycles - 1),
                frame.eq(Cat(frame[1:], C(1, 1))),
                left.eq(left - 1),
            ]
        return m
