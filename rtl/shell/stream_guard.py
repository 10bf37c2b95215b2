"""The guard of the outward stream: an offer is kept and a packet is ended, also when the core is stopped."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl.core.interfaces import beat_layout

__all__ = ["StreamGuard"]


class StreamGuard(wiring.Component):
    """Pass beats without delay. After `stop` an offered beat stays, and an open packet gets a last beat of zeros.

    Parameters
    ----------
    width : int
        Bits of a beat.

    Members
    -------
    i : beats from the core
    o : beats to the pins
    stop : the core's offers end with this cycle
    stopped : the core's offers are not passed
    cut : the end of a packet that was cut is still offered
    """

    def __init__(self, width: int) -> None:
        super().__init__({
            "i": In(stream.Signature(beat_layout(width))),
            "o": Out(stream.Signature(beat_layout(width))),
            "stop": In(1),
            "stopped": In(1),
            "cut": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        data = Signal(len(self.i.payload.data), reset_less=True)
        last = Signal()
        open_packet = Signal()
        passing = Signal()
        m.d.comb += [
            passing.eq(~self.cut & ~self.stopped),
            self.i.ready.eq(self.o.ready & passing),
            self.o.valid.eq(self.cut | (self.i.valid & passing)),
            self.o.payload.data.eq(self.i.payload.data),
            self.o.payload.last.eq(self.i.payload.last),
        ]
        with m.If(self.cut):
            m.d.comb += [
                self.o.payload.data.eq(data),
                self.o.payload.last.eq(last),
            ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += open_packet.eq(~self.o.payload.last)
            with m.If(self.cut):
                m.d.sync += [
                    self.cut.eq(~last),
                    data.eq(0),
                    last.eq(1),
                ]
        self._stop(m, data, last, open_packet)
        return m

    def _stop(self, m: Module, data: Signal, last: Signal, open_packet: Signal) -> None:
        with m.If(self.stop & ~self.cut):
            with m.If(self.o.valid & ~self.o.ready):
                m.d.sync += [
                    self.cut.eq(1),
                    data.eq(self.i.payload.data),
                    last.eq(self.i.payload.last),
                ]
            with m.Elif((self.o.valid & ~self.o.payload.last) | (~self.o.valid & open_packet)):
                m.d.sync += [
                    self.cut.eq(1),
                    data.eq(0),
                    last.eq(1),
                ]
