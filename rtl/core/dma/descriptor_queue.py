"""A table of entries that an engine takes one after another."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl.core.interfaces import TableWrite
from rtl.core.memory.sram import Sram

__all__ = ["DescriptorQueue"]


class DescriptorQueue(wiring.Component):
    """Show entries of a memory in order, each read one ahead so that no cycle is lost between two of them.

    Parameters
    ----------
    layout : StructLayout
        Of an entry; the last one has its field `valid` clear.
    depth : int
        Entries.

    Members
    -------
    table : the host writes the entries
    prepare : start over; the first entry is there three cycles later
    take : the entry at hand is done with
    current : the entry at hand
    over : there is no entry at hand
    ending : `take` would leave no entry
    """

    def __init__(self, layout: data.StructLayout, depth: int) -> None:
        self.layout, self.depth = layout, depth
        super().__init__({
            "table": In(TableWrite(layout.size, depth)),
            "prepare": In(1),
            "take": In(1),
            "current": Out(layout),
            "over": Out(1),
            "ending": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Sram(self.layout.size, self.depth)
        following = data.View(self.layout, memory.rdata)
        shown = Signal(len(memory.raddr))
        loading = Signal()
        m.d.comb += [
            memory.wen.eq(self.table.write),
            memory.waddr.eq(self.table.index),
            memory.wdata.eq(self.table.data),
            memory.ren.eq(self.prepare | loading | self.take),
            memory.raddr.eq(Mux(self.prepare, 0, shown + 1)),
            self.over.eq(~self.current.valid),
            self.ending.eq(~following.valid),
        ]
        m.d.sync += loading.eq(self.prepare)
        with m.If(memory.ren):
            m.d.sync += shown.eq(memory.raddr)
        with m.If(self.take | loading):
            m.d.sync += self.current.eq(following)
        return m
