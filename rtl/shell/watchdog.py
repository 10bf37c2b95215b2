"""The watchdog: a machine in which nothing moves for too long is stopped."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Watchdog"]


class Watchdog(wiring.Component):
    """Count the cycles in which nothing moves.

    Members
    -------
    enable : the machine works
    moved : something moves in this cycle
    limit : cycles without a move that are allowed; 0: any number
    expired : `limit` cycles in a row have passed without a move
    """

    def __init__(self) -> None:
        super().__init__({
            "enable": In(1),
            "moved": In(1),
            "limit": In(32),
            "expired": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        quiet = Signal(32)
        m.d.comb += self.expired.eq(self.enable & (self.limit != 0) & (quiet >= self.limit))
        m.d.sync += quiet.eq(quiet + 1)
        with m.If(self.moved | ~self.enable):
            m.d.sync += quiet.eq(0)
        return m
