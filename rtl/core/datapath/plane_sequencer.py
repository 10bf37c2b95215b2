"""The bit-plane sequencer: which planes meet in which cycle, and the controls that follow a pair down the pipeline."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl.core.interfaces import pair_layout, step_layout
from rtl.encoding.geometry import Geometry
from sim.hardware.dimensions import PLANE_BITS

__all__ = ["PlaneSequencer", "delayed_launch"]

LAUNCH_STAGES = 3
"""Registers between the sequencer's decision and the engine, so that the last operand plane is in its file."""


def delayed_launch(m: Module, launch: Value, step: data.View, stages: int) -> tuple[Value, data.View]:
    """Return a launch and its step after so many registers."""
    for stage in range(stages):
        launch_after = Signal(name=f"launch_{stage}")
        step_after = Signal(step.shape(), name=f"step_{stage}")
        m.d.sync += [
            launch_after.eq(launch),
            step_after.eq(step),
        ]
        launch, step = launch_after, step_after
    return launch, step


class PlaneSequencer(wiring.Component):
    """Walk over the plane pairs of a step, most significant sums first.

    Latency: the pairs of a step launched in cycle t are selected in t+4 .. t+3+bits_w*bits_a.

    Members
    -------
    descriptor : of the op that runs
    launch : the operands of a step are being read
    step : what that step carries along
    w_plane : weight plane of the pair in the select stage
    a_plane : activation plane of the pair in the select stage
    select : pair in the stage that selects operands
    count : pair in the stage that counts ones
    add : pair in the stage that adds to the partial sums
    accumulate : pair in the stage that adds to the accumulators
    tile_ready : the accumulators of a tile are complete after this cycle
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        pair = pair_layout(geometry)
        super().__init__({
            "descriptor": In(geometry.descriptor),
            "launch": In(1),
            "step": In(step_layout(geometry)),
            "w_plane": Out(PLANE_BITS),
            "a_plane": Out(PLANE_BITS),
            "select": Out(pair),
            "count": Out(pair),
            "add": Out(pair),
            "accumulate": Out(pair),
            "tile_ready": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        start, step = delayed_launch(m, self.launch, self.step, LAUNCH_STAGES)
        active = Signal()
        first = Signal()
        double = Signal()
        current = Signal(step_layout(self.geometry))
        w, a = self.w_plane, self.a_plane
        d = self.descriptor
        last = Signal()
        m.d.comb += last.eq((w == 0) & (a == 0))
        with m.If(start):
            m.d.sync += [
                active.eq(1),
                first.eq(1),
                double.eq(0),
                current.eq(step),
                w.eq(d.bits_w),
                a.eq(d.bits_a),
            ]
        with m.Elif(active):
            m.d.sync += [
                active.eq(~last),
                first.eq(0),
            ]
            self._advance(m, double)
        s = self.select
        m.d.comb += [
            s.valid.eq(active),
            s.first.eq(first),
            s.last.eq(last),
            s.double.eq(double),
            s.negative.eq((d.signed_w & (w == d.bits_w)) ^ (d.signed_a & (a == d.bits_a))),
            s.rows.eq(Mux(current.last_row_tile, d.last_tile_rows, (1 << self.geometry.rows) - 1)),
            s.reference.eq(d.bipolar),
            s.step.eq(current),
        ]
        m.d.sync += [
            self.count.eq(self.select),
            self.add.eq(self.count),
            self.accumulate.eq(self.add),
        ]
        done = self.accumulate
        m.d.comb += self.tile_ready.eq(done.valid & done.last & done.step.ends_tile)
        return m

    def _advance(self, m: Module, double: Signal) -> None:
        """Move along an antidiagonal w + a = s, then to the top of the next lower one."""
        d, w, a = self.descriptor, self.w_plane, self.a_plane
        significance = Signal(PLANE_BITS + 1)
        top = Signal(PLANE_BITS)
        m.d.comb += [
            significance.eq(w + a - 1),
            top.eq(Mux(significance < d.bits_w, significance, d.bits_w)),
        ]
        with m.If((w == 0) | (a == d.bits_a)):
            m.d.sync += [
                double.eq(1),
                w.eq(top),
                a.eq(significance - top),
            ]
        with m.Else():
            m.d.sync += [
                double.eq(0),
                w.eq(w - 1),
                a.eq(a + 1),
            ]
