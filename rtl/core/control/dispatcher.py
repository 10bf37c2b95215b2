"""The dispatcher: starts ops in order, each once everything that it waits for has ended."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.core.interfaces import TableWrite
from rtl.core.memory.sram import Sram
from rtl.encoding.geometry import Geometry

__all__ = ["Dispatcher"]


class Dispatcher(wiring.Component):
    """Hold the descriptor of the op that issues and of the op that runs.

    The sequencer takes the next descriptor as soon as it has issued an op; everything after it keeps the old one
    until the op has ended. An op starts in the cycle after its predecessor's last write, or after the end of the
    last Load or Store that it waits for.

    Members
    -------
    table : the host writes the Convs and Pools
    start_valid : run the table; high until `start_ready`
    start_ready : the table can be run
    halt : begin no op any more
    op_issued : nothing is left to issue of an op
    op_done : the last word of an op is being written
    load_done : a Load ends
    store_done : a Store ends
    inward_over : after this cycle nothing is left on the inward stream
    outward_over : after this cycle no Store is left
    head : descriptor for the sequencer
    running : descriptor for everything that follows the sequencer
    prepare : the DMAs start over with their tables
    init : `head` is new
    begin : the op may issue from the next cycle on
    begun : first cycle of an op
    started : the next cycle is cycle 0
    busy : a program runs
    cycle : cycles since its start
    active : an op runs
    computes : Convs and Pools that have ended
    loads : Loads that have ended
    stores : Stores that have ended
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        count = geometry.count_bits
        flags = {name: In(1) for name in ("start_valid", "halt", "op_issued", "op_done",
                                          "load_done", "store_done", "inward_over", "outward_over")}
        pulses = {name: Out(1) for name in ("start_ready", "prepare", "init", "begin", "begun", "started", "busy",
                                            "active")}
        super().__init__({
            **flags,
            **pulses,
            "table": In(TableWrite(geometry.descriptor.size, geometry.limits.max_ops)),
            "head": Out(geometry.descriptor),
            "running": Out(geometry.descriptor),
            "cycle": Out(geometry.limits.counter_bits),
            "computes": Out(count),
            "loads": Out(count),
            "stores": Out(count),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Sram(self.geometry.descriptor.size, self.geometry.limits.max_ops)
        load = Signal()
        shown = Signal(len(memory.raddr))
        waiting = Signal()
        over = Signal()
        m.d.comb += [
            memory.wen.eq(self.table.write),
            memory.waddr.eq(self.table.index),
            memory.wdata.eq(self.table.data),
            memory.ren.eq(self.prepare | load),
            memory.raddr.eq(Mux(self.prepare, 0, shown + 1)),
        ]
        self._states(m, load, waiting, over)
        self._counts(m, waiting)
        with m.If(self.op_issued & ~self.head.last):
            m.d.comb += load.eq(1)
        with m.If(memory.ren):
            m.d.sync += shown.eq(memory.raddr)
        with m.If(load):
            m.d.sync += self.head.eq(memory.rdata)
        m.d.sync += [
            self.init.eq(load),
            self.begun.eq(self.begin),
            waiting.eq(self.init | (waiting & ~self.begin)),
            self.active.eq(self.begin | (self.active & ~self.op_done)),
        ]
        with m.If(self.begin):
            m.d.sync += self.running.eq(self.head)
        with m.If(self.op_done & self.running.last):
            m.d.sync += over.eq(1)
        with m.If(self.prepare):
            m.d.sync += over.eq(0)
        return m

    def _counts(self, m: Module, waiting: Value) -> None:
        """Count ended ops; the next one begins when nothing runs and all that it waits for has ended.

        The end of a Load or Store is noticed in the cycle after, so that no path leads here from the streams.
        """
        for name, done in (("computes", self.op_done), ("loads", self.load_done), ("stores", self.store_done)):
            count = getattr(self, name)
            m.d.sync += count.eq(Mux(self.prepare, 0, count + done))
        m.d.comb += self.begin.eq(
            waiting & ~self.halt & (self.started | (self.busy & (~self.active | self.op_done)))
            & (self.loads >= self.head.after_loads) & (self.stores >= self.head.after_stores))

    def _states(self, m: Module, load: Signal, waiting: Value, over: Value) -> None:
        finished = Signal()
        m.d.comb += finished.eq((over | (self.op_done & self.running.last)) & self.inward_over & self.outward_over)
        with m.FSM():
            with m.State("IDLE"), m.If(self.start_valid):
                m.d.comb += self.prepare.eq(1)
                m.next = "LOAD"
            with m.State("LOAD"):
                m.d.comb += load.eq(1)
                m.next = "PREFETCHED"
            with m.State("PREFETCHED"):
                m.d.comb += self.start_ready.eq(waiting)
                with m.If(self.start_valid & self.start_ready):
                    m.d.comb += self.started.eq(1)
                    m.d.sync += [
                        self.busy.eq(1),
                        self.cycle.eq(0),
                    ]
                    m.next = "RUN"
            with m.State("RUN"):
                m.d.sync += self.cycle.eq(self.cycle + 1)
                with m.If(finished):
                    m.d.sync += self.busy.eq(0)
                    m.next = "IDLE"
