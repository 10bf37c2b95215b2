"""The outward stream behind the core: an offer is kept and a packet is ended, also when the core is stopped."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["StreamGuard"]


class StreamGuard(wiring.Component):
    """Pass beats without delay. After `stop` an offered beat stays, and an open packet gets a last beat of zeros.

    Parameters
    ----------
    width : int
        Bits of a beat.

    Members
    -------
    in_valid, in_ready, in_data, in_last : from the core
    out_valid, out_ready, out_data, out_last : to the pins
    stop : the core's offers end with this cycle; `stopped`: they are not passed
    cut : the end of a packet that was cut is still offered
    """

    def __init__(self, width: int) -> None:
        super().__init__({
            "in_valid": In(1),
            "in_ready": Out(1),
            "in_data": In(width),
            "in_last": In(1),
            "out_valid": Out(1),
            "out_ready": In(1),
            "out_data": Out(width),
            "out_last": Out(1),
            "stop": In(1),
            "stopped": In(1),
            "cut": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        data = Signal(len(self.in_data), reset_less=True)
        last = Signal()
        open_packet = Signal()
        passing = Signal()
        m.d.comb += [
            passing.eq(~self.cut & ~self.stopped),
            self.in_ready.eq(self.out_ready & passing),
            self.out_valid.eq(self.cut | (self.in_valid & passing)),
            self.out_data.eq(self.in_data),
            self.out_last.eq(self.in_last),
        ]
        with m.If(self.cut):
            m.d.comb += [
                self.out_data.eq(data),
                self.out_last.eq(last),
            ]
        with m.If(self.out_valid & self.out_ready):
            m.d.sync += open_packet.eq(~self.out_last)
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
            with m.If(self.out_valid & ~self.out_ready):
                m.d.sync += [
                    self.cut.eq(1),
                    data.eq(self.in_data),
                    last.eq(self.in_last),
                ]
            with m.Elif((self.out_valid & ~self.out_last) | (~self.out_valid & open_packet)):
                m.d.sync += [
                    self.cut.eq(1),
                    data.eq(0),
                    last.eq(1),
                ]
