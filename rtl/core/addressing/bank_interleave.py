"""The order of a tensor's words on a stream: a word of every bank, then the next address."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.encoding.geometry import Geometry

__all__ = ["BankInterleaver"]


class BankInterleaver(wiring.Component):
    """Walk over the words of a tensor, `per_step` at once: no more than there are banks, so of one or two addresses.

    What a step covers behind the last address does not exist.

    Members
    -------
    first : first address of the tensor's words, the same in every bank
    last : last address of the tensor's words, the same in every bank
    step : the next words are taken; after the last ones it starts over
    bank : bank of the next step's first word; the other words follow
    end : the next step is the last one
    select : the banks that have a word in this step, a bit each
    address : address within each of these banks
    """

    def __init__(self, geometry: Geometry, per_step: int) -> None:
        self.geometry, self.per_step = geometry, per_step
        columns, address = geometry.columns, geometry.address_bits
        super().__init__({
            "first": In(address),
            "last": In(address),
            "step": In(1),
            "bank": Out(geometry.column_bits),
            "end": Out(1),
            "select": Out(columns),
            "address": Out(address).array(columns),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        columns, per_step, bank = self.geometry.columns, self.per_step, self.bank
        offset = Signal.like(self.first)
        here = Signal.like(self.first)
        after = Signal.like(self.first)
        at_last = Signal()
        wraps = Signal()
        m.d.comb += [
            here.eq(self.first + offset),
            after.eq(here + 1),
            at_last.eq(here == self.last),
            wraps.eq(bank >= columns - per_step),
            self.end.eq(at_last & wraps),
        ]
        with m.If(self.step):
            m.d.sync += [
                bank.eq(Mux(wraps, bank - (columns - per_step), bank + per_step)),
                offset.eq(offset + wraps),
            ]
            with m.If(self.end):
                m.d.sync += [
                    bank.eq(0),
                    offset.eq(0),
                ]
        with m.Switch(bank):
            for origin in range(columns):
                with m.Case(origin):
                    for word in range(origin, origin + per_step):
                        c, beyond = word % columns, word >= columns
                        m.d.comb += [
                            self.select[c].eq(self.step & ~at_last if beyond else self.step),
                            self.address[c].eq(after if beyond else here),
                        ]
        return m
