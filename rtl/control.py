"""Record control: descriptors in, records started one after another."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from rtl.geometry import Geometry
from rtl.ram import Ram

__all__ = ["Control"]

COUNTER_BITS = 40


class Control(wiring.Component):
    """Hold the descriptor of the record that issues and of the record that runs.

    The sequencer takes the next descriptor as soon as it has issued a record; everything behind it keeps the old one
    until the record has ended, and a record starts in the cycle after its predecessor's last write.

    Members
    -------
    table_write, table_index, table_data : descriptors, written by the host
    start_valid, start_ready : run the table; hold `start_valid` until `start_ready`
    record_issued, record_done : nothing is left to issue of a record; its last word is being written
    head, running : descriptors for the sequencer, and for everything behind it
    prepare : of the fill engine; `init`: of the sequencer
    begin : the record may issue (for the next cycle); `begun`: first cycle of a record
    started : the next cycle is cycle 0
    busy, cycle, record : a program runs, cycles since its start, index of the running record
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        index = ceil_log2(geometry.records)
        flags = {name: In(1) for name in ("table_write", "start_valid", "record_issued", "record_done")}
        pulses = {name: Out(1) for name in ("start_ready", "prepare", "init", "begin", "begun", "started", "busy")}
        super().__init__({
            **flags, **pulses, "table_index": In(index), "table_data": In(geometry.descriptor.size),
            "head": Out(geometry.descriptor), "running": Out(geometry.descriptor),
            "cycle": Out(COUNTER_BITS), "record": Out(index + 1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.table = table = Ram(self.geometry.descriptor.size, self.geometry.records)
        load, shown, loaded = Signal(), Signal(len(table.raddr)), Signal()
        m.d.comb += [
            table.wen.eq(self.table_write), table.waddr.eq(self.table_index), table.wdata.eq(self.table_data),
            table.ren.eq(self.prepare | load), table.raddr.eq(Mux(self.prepare, 0, shown + 1)),
        ]
        self._states(m, load, loaded)
        with m.If(self.record_issued & ~self.head.last):
            m.d.comb += load.eq(1)
        with m.If(table.ren):
            m.d.sync += shown.eq(table.raddr)
        with m.If(load):
            m.d.sync += self.head.eq(table.rdata)
        m.d.sync += [loaded.eq(load), self.begun.eq(self.begin)]
        m.d.comb += self.init.eq(loaded)
        with m.If(self.begin):
            m.d.sync += self.running.eq(self.head)
        return m

    def _states(self, m: Module, load: Signal, loaded: Signal) -> None:
        with m.FSM():
            with m.State("IDLE"), m.If(self.start_valid):
                m.d.comb += self.prepare.eq(1)
                m.next = "LOAD"
            with m.State("LOAD"):
                m.d.comb += load.eq(1)
                m.next = "PREFETCHED"
            with m.State("PREFETCHED"):
                m.d.comb += self.start_ready.eq(~loaded)
                with m.If(self.start_valid & self.start_ready):
                    m.d.comb += [self.started.eq(1), self.begin.eq(1)]
                    m.d.sync += [self.busy.eq(1), self.cycle.eq(0), self.record.eq(0)]
                    m.next = "RUN"
            with m.State("RUN"):
                m.d.sync += self.cycle.eq(self.cycle + 1)
                with m.If(self.record_done):
                    m.d.sync += self.record.eq(self.record + 1)
                    with m.If(self.running.last):
                        m.d.sync += self.busy.eq(0)
                        m.next = "IDLE"
                    with m.Else():
                        m.d.comb += self.begin.eq(1)
