"""A table of entries that an engine takes one after another."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from rtl.core.memory.sram import Sram

__all__ = ["DescriptorQueue"]


class DescriptorQueue(wiring.Component):
    """Entries from a memory, in order, each read one ahead so that no cycle is lost between two of them.

    Parameters
    ----------
    layout : StructLayout
        Of an entry; the last one has its field `valid` clear.
    depth : int
        Entries.

    Members
    -------
    write, index, data : written by the host, not while a program runs
    prepare : start over; the first entry is there three cycles later
    take : the entry at hand is done with
    current : the entry at hand; `over`: there is none; `ending`: `take` would leave none
    """

    def __init__(self, layout: data.StructLayout, depth: int) -> None:
        self.layout, self.depth = layout, depth
        super().__init__({
            "write": In(1),
            "index": In(ceil_log2(depth)),
            "data": In(layout.size),
            "prepare": In(1),
            "take": In(1),
            "current": Out(layout),
            "over": Out(1),
            "ending": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.table = table = Sram(self.layout.size, self.depth)
        following = data.View(self.layout, table.rdata)
        shown = Signal(len(table.raddr))
        loading = Signal()
        m.d.comb += [
            table.wen.eq(self.write),
            table.waddr.eq(self.index),
            table.wdata.eq(self.data),
            table.ren.eq(self.prepare | loading | self.take),
            table.raddr.eq(Mux(self.prepare, 0, shown + 1)),
            self.over.eq(~self.current.valid),
            self.ending.eq(~following.valid),
        ]
        m.d.sync += loading.eq(self.prepare)
        with m.If(table.ren):
            m.d.sync += shown.eq(table.raddr)
        with m.If(self.take | loading):
            m.d.sync += self.current.eq(following)
        return m
