"""Depthwise lanes: beside the array, a multiplier of weights by activation planes for every channel of a word."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.core.datapath.plane_sequencer import delayed_launch
from rtl.core.interfaces import pair_layout, read_layout, step_layout
from rtl.encoding.geometry import Geometry

__all__ = ["DepthwiseColumn", "DepthwiseUnit", "DepthwiseWeights"]

STEP_STAGES = 4
"""Registers that a step goes through on its way from the sequencer to the accumulators."""


class DepthwiseWeights(wiring.Component):
    """Shift the weights of all lanes left by the activation plane at hand; the columns share them.

    Members
    -------
    descriptor : of the op that runs
    loaded : the read whose weights the row banks show now
    arrived : the read before it
    stored : words of the row banks; plane i is in bank i mod rows
    weights : weights of the read that had arrived in the cycle before, lane after lane
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__({
            "descriptor": In(geometry.descriptor),
            "loaded": In(read_layout(geometry)),
            "arrived": In(read_layout(geometry)),
            "stored": In(geometry.lanes).array(geometry.rows),
            "weights": Out(geometry.depthwise_lanes * geometry.product_bits),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.descriptor
        negative = Signal()
        stored_planes = Signal(self.geometry.machine.max_bits_w)
        m.d.comb += [
            negative.eq(d.signed_a & (self.arrived.plane == d.bits_a)),
            stored_planes[0].eq(1),
        ]
        m.d.comb += [stored_planes[i].eq(d.bits_w >= i) for i in range(1, len(stored_planes))]
        for lane in range(self.geometry.depthwise_lanes):
            shifted = Signal(signed(self.geometry.product_bits), name=f"shifted_{lane}", reset_less=True)
            out = Signal.like(shifted, name=f"weight_{lane}")
            with m.If(self.loaded.valid & (self.loaded.plane == 0)):
                m.d.sync += shifted.eq(self._weight(m, lane, stored_planes))
            with m.Elif(self.loaded.valid & (self.loaded.plane != self.arrived.plane)):
                m.d.sync += shifted.eq(shifted << 1)
            with m.If(self.arrived.valid):
                m.d.sync += out.eq(Mux(negative, -shifted, shifted))
            m.d.comb += self.weights.word_select(lane, self.geometry.product_bits).eq(out)
        return m

    def _weight(self, m: Module, lane: int, stored_planes: Value) -> Value:
        """Return a lane's weight from its stored planes; 1 where none are stored."""
        d, geometry = self.descriptor, self.geometry
        planes = Signal(geometry.machine.max_bits_w, name=f"planes_{lane}")
        weight = Signal(signed(geometry.machine.max_bits_w + 1), name=f"value_{lane}")
        sign = Signal(name=f"sign_{lane}")
        m.d.comb += [
            planes.eq(Cat(self.stored[i % geometry.rows][i // geometry.rows * geometry.depthwise_lanes + lane]
                          for i in range(len(planes)))),
            sign.eq(d.signed_w & planes.bit_select(d.bits_w, 1)),
            weight.eq(Cat(*(Mux(stored_planes[i], planes[i], sign) for i in range(len(planes))), sign)),
        ]
        return Mux(d.unit, 1, weight)


class DepthwiseColumn(wiring.Component):
    """Sum up one column: a lane adds its weight wherever the activation plane has a one.

    Members
    -------
    add : a plane of the next tap is added
    word : that plane
    weights : weights of all lanes, shifted left by the number of the plane
    first : the plane is the first one of a pixel, whose sums start from 0
    group : number of a group of R lanes
    sums : the sums of that group
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        lanes = geometry.depthwise_lanes
        super().__init__({
            "add": In(1),
            "word": In(lanes),
            "weights": In(lanes * geometry.product_bits),
            "first": In(1),
            "group": In(max(1, geometry.channel_group_bits)),
            "sums": Out(signed(geometry.lane_sum_bits)).array(geometry.rows),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        geometry = self.geometry
        totals = []
        for lane in range(geometry.depthwise_lanes):
            total = Signal(signed(geometry.lane_sum_bits), name=f"total_{lane}", reset_less=True)
            addend = Signal(signed(geometry.product_bits), name=f"addend_{lane}")
            m.d.comb += addend.eq(Mux(self.word[lane], self.weights.word_select(lane, geometry.product_bits), 0))
            with m.If(self.add):
                m.d.sync += total.eq(Mux(self.first, 0, total) + addend)
            totals.append(total)
        with m.Switch(self.group):
            for group in range(geometry.depthwise_lanes // geometry.rows):
                with m.Case(group):
                    m.d.comb += [self.sums[r].eq(totals[group * geometry.rows + r]) for r in range(geometry.rows)]
        return m


class DepthwiseUnit(wiring.Component):
    """Work on depthwise layers in all columns, and move the sums of a pixel into the accumulators of the array.

    A read of the sequencer in cycle t is added in t+4; the first group of R sums moves in the fifth cycle after the
    step's last read, and one more in each of the next.

    Members
    -------
    descriptor : of the op that runs
    launch : last read of a step
    step : what that step carries along
    loaded : the read whose words and weights the banks show now
    stored : words of the row banks; plane i is in bank i mod rows
    arrived : the read before it
    word : operand word of each column, in the segment of its tap
    accumulate : controls of the accumulators that take `sums`
    sums : what these accumulators take, row by row and column by column
    tile_ready : the accumulators of a tile are complete after this cycle
    active : the lanes of some column may add
    added : the columns whose lanes add, a bit each
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        rows, columns, lanes = geometry.rows, geometry.columns, geometry.lanes
        super().__init__({
            "descriptor": In(geometry.descriptor),
            "launch": In(1),
            "step": In(step_layout(geometry)),
            "loaded": In(read_layout(geometry)),
            "stored": In(lanes).array(rows),
            "arrived": In(read_layout(geometry)),
            "word": In(lanes).array(columns),
            "accumulate": Out(pair_layout(geometry)),
            "sums": Out(signed(geometry.lane_sum_bits)).array(rows, columns),
            "tile_ready": Out(1),
            "active": Out(1),
            "added": Out(columns),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        geometry, lanes = self.geometry, self.geometry.depthwise_lanes
        m.submodules.weights = weights = DepthwiseWeights(geometry)
        first = Signal()
        m.d.comb += [
            weights.descriptor.eq(self.descriptor),
            weights.loaded.eq(self.loaded),
            weights.arrived.eq(self.arrived),
        ]
        m.d.comb += [weights.stored[r].eq(self.stored[r]) for r in range(geometry.rows)]
        m.d.sync += [
            self.active.eq(self.arrived.valid & self.descriptor.depthwise_unit),
            self.added.eq(Mux(self.descriptor.depthwise_unit, self.arrived.strobe, 0)),
            first.eq(self.arrived.first_segment & (self.arrived.plane == 0)),
        ]
        group = self._move(m)
        for c in range(geometry.columns):
            m.submodules[f"column_{c}"] = column = DepthwiseColumn(geometry)
            word = Signal(lanes, name=f"word_{c}", reset_less=True)
            with m.If(self.descriptor.depthwise_unit & self.arrived.strobe[c]):
                m.d.sync += word.eq(self.word[c])
            m.d.comb += [
                column.add.eq(self.added[c]),
                column.word.eq(word),
                column.first.eq(first),
                column.weights.eq(weights.weights),
                column.group.eq(group),
            ]
            m.d.comb += [self.sums[r][c].eq(column.sums[r]) for r in range(geometry.rows)]
        return m

    def _move(self, m: Module) -> Value:
        """Move group after group into the accumulators after the last plane was added, and return the group at hand."""
        d, geometry, out = self.descriptor, self.geometry, self.accumulate
        start, step = delayed_launch(m, self.launch, self.step, STEP_STAGES)
        moving = Signal()
        group = Signal(max(1, geometry.channel_group_bits))
        current = Signal(step_layout(geometry))
        rows = Signal(geometry.rows)
        last = Signal()
        every = (1 << geometry.rows) - 1
        m.d.comb += last.eq(group == d.tile_channel_groups)
        with m.If(start):
            m.d.sync += [
                moving.eq(1),
                group.eq(0),
                current.eq(step),
            ]
        with m.Elif(moving):
            m.d.sync += [
                moving.eq(~last),
                group.eq(group + 1),
            ]
        with m.If(~current.last_row_tile | (group < d.last_tile_channel_groups)):
            m.d.comb += rows.eq(every)
        with m.Elif(group == d.last_tile_channel_groups):
            m.d.comb += rows.eq(d.last_tile_rows)
        index = group[: geometry.channel_group_bits]
        m.d.comb += [
            out.step.eq(current),
            out.step.fresh.eq(1),
            out.step.address.eq(Cat(index, current.address)),
            out.valid.eq(moving),
            out.last.eq(1),
            out.rows.eq(rows),
            self.tile_ready.eq(moving & last & current.ends_tile),
        ]
        return group
