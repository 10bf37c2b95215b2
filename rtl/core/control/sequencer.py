"""The sequencer: the loops of an op, and the only place where the pipeline waits.

It works one cycle ahead. What it puts out in cycle t - the operand read, the weight read, the launch of a step - is
what the machine does in cycle t+1, when it stands in the address registers.
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.core.interfaces import AguStep, WeightRead, bypasses_array, step_layout
from rtl.encoding.geometry import Geometry
from sim.hardware.dimensions import PLANE_BITS

__all__ = ["Sequencer"]


class Sequencer(wiring.Component):
    """Loop over row tile, chunk, tap group, channel block, pixel, and within a step over tap, plane and phase.

    A Pool is one tile of which a step reads all taps of a pixel.

    Members
    -------
    descriptor : of the op that issues
    init : all loops go to their start
    begin : the op may issue from this cycle on
    bank_freed : the requantizers are done with a tile
    slot_filled : the weights of a row tile are there
    last_row_group : the pixel is in the last row group
    read : operands are read
    plane : bit plane that is read
    phase : the columns of this phase are read
    columns : the columns that have the pixel, a bit each
    first_segment : the tap is the first one of the step
    last_segment : the tap is the last one of the step
    segment_lane : first lane of the tap's segment
    block_address : address of the channel block
    pixel_done : the read is the last one of its step
    block_done : the read is the last one of the block's last pixel
    tap_step : moves of the tap AGU
    pixel_step : moves of the pixel AGU
    weight : reads of weight words
    launch : the operands of a step will all be there in time
    step : what that step carries along
    tile_issued : a row tile needs its weights no more
    op_issued : nothing is left to issue of the op
    wait_accumulator : nothing is issued for want of an accumulator bank
    wait_weights : nothing is issued for want of weights
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        flags = ("init", "begin", "bank_freed", "slot_filled")
        outputs = ("read", "first_segment", "last_segment", "launch",
                   "pixel_done", "block_done", "tile_issued", "op_issued", "wait_accumulator", "wait_weights")
        super().__init__({
            "descriptor": In(geometry.descriptor),
            "last_row_group": In(1),
            **{name: In(1) for name in flags},
            **{name: Out(1) for name in outputs},
            "tap_step": Out(AguStep()),
            "pixel_step": Out(AguStep()),
            "plane": Out(PLANE_BITS),
            "phase": Out(geometry.column_bits),
            "weight": Out(WeightRead(geometry)),
            "segment_lane": Out(max(1, geometry.lane_bits)),
            "block_address": Out(geometry.address_bits),
            "columns": Out(geometry.columns),
            "step": Out(step_layout(geometry)),
        })
        self.cycle = Signal(geometry.limits.step_bits)
        self.pixel = Signal(geometry.limits.pixel_bits)
        self.pixels = Signal(geometry.limits.pixel_bits)
        self.channel_block = Signal(geometry.limits.block_bits)
        self.tap_group = Signal(geometry.limits.tap_bits)
        self.chunk = Signal(geometry.limits.pixel_bits)
        self.row_tile = Signal(geometry.limits.tile_bits)
        self.issuing = Signal()
        self.last_tap_group = Signal()
        self.step_end = Signal()
        self.block_end = Signal()
        self.group_end = Signal()
        self.tile_end = Signal()
        self.row_tile_end = Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._ends(m)
        self._wait(m)
        self._loops(m)
        self._reads(m)
        self._weight_reads(m)
        self._blocks(m)
        self._parts(m)
        self._launch(m)
        return m

    def _ends(self, m: Module) -> None:
        d = self.descriptor
        m.d.comb += [
            self.pixels.eq(Mux(self.chunk == d.chunks, d.last_chunk_pixels, d.chunk_pixels)),
            self.step_end.eq(self.issuing & (self.cycle == d.step_cycles)),
            self.block_end.eq(self.step_end & (self.pixel == self.pixels)),
            self.group_end.eq(self.block_end & (self.channel_block == d.channel_blocks)),
            self.last_tap_group.eq(self.tap_group == d.tap_groups),
            self.tile_end.eq(self.group_end & self.last_tap_group),
            self.row_tile_end.eq(self.tile_end & (self.chunk == d.chunks)),
            self.weight.last_row_tile.eq(self.row_tile == d.row_tiles),
            self.op_issued.eq(self.row_tile_end & self.weight.last_row_tile),
            self.tile_issued.eq(self.row_tile_end & ~bypasses_array(d)),
            self.tap_step.restore.eq(self.step_end),
            self.tap_step.commit.eq(self.group_end),
            self.pixel_step.advance.eq(self.step_end),
            self.pixel_step.restore.eq(self.block_end),
            self.pixel_step.commit.eq(self.tile_end),
            self.tap_step.reset.eq(self.init | self.tile_end),
            self.pixel_step.reset.eq(self.init | self.row_tile_end),
        ]

    def _wait(self, m: Module) -> None:
        """Issue when the op has begun, an accumulator bank is free and the row tile's weights are in.

        Banks and weights are noticed in the cycle after, so that no path leads here from requantizers and streams.
        """
        armed = Signal()
        running = Signal()
        free = Signal(2, init=2)
        filled = Signal(2)
        bank_ok = Signal()
        weights_ok = Signal()
        go = Signal()
        open_op = Signal()
        bypass = bypasses_array(self.descriptor)
        first_chunk = self.chunk == 0
        m.d.comb += [
            open_op.eq(armed | self.begin),
            bank_ok.eq((free != 0) | bypass),
            weights_ok.eq((filled != 0) | ~first_chunk | bypass),
            go.eq(open_op & ~running & bank_ok & weights_ok),
            self.issuing.eq(running | go),
            self.wait_accumulator.eq(open_op & ~running & ~bank_ok),
            self.wait_weights.eq(open_op & ~running & bank_ok & ~weights_ok),
        ]
        m.d.sync += [
            armed.eq(open_op & ~self.op_issued),
            running.eq(self.issuing & ~self.tile_end),
            free.eq(free + self.bank_freed - (go & ~bypass)),
            filled.eq(filled + self.slot_filled - (go & ~bypass & first_chunk)),
        ]

    def _loops(self, m: Module) -> None:
        with m.If(self.issuing):
            m.d.sync += self.cycle.eq(self.cycle + 1)
        with m.If(self.step_end):
            m.d.sync += [
                self.cycle.eq(0),
                self.pixel.eq(self.pixel + 1),
            ]
        with m.If(self.block_end):
            m.d.sync += [
                self.pixel.eq(0),
                self.channel_block.eq(self.channel_block + 1),
            ]
        with m.If(self.group_end):
            m.d.sync += [
                self.channel_block.eq(0),
                self.tap_group.eq(self.tap_group + 1),
            ]
        with m.If(self.tile_end):
            m.d.sync += [
                self.tap_group.eq(0),
                self.chunk.eq(self.chunk + 1),
            ]
        with m.If(self.row_tile_end):
            m.d.sync += [
                self.chunk.eq(0),
                self.row_tile.eq(self.row_tile + 1),
            ]
        with m.If(self.init):
            m.d.sync += [counter.eq(0) for counter in (self.cycle, self.pixel, self.channel_block, self.tap_group,
                                                       self.chunk, self.row_tile)]

    def _reads(self, m: Module) -> None:
        """Read operands in the first cycles of a step: taps outer, planes from the top, phases inner.

        Lanes take the planes from the bottom, and the weights of a tap with its first one.
        """
        d = self.descriptor
        segment = Signal(self.geometry.limits.tap_bits)
        done = Signal()
        phase_end = Signal()
        segment_end = Signal()
        passed = Signal(PLANE_BITS)
        m.d.comb += [
            self.read.eq(self.issuing & ~done),
            phase_end.eq(self.phase == d.phases),
            self.plane.eq(Mux(d.depthwise_unit, passed, d.bits_a - passed)),
            segment_end.eq(self.read & phase_end & (passed == d.bits_a)),
            self.tap_step.advance.eq(segment_end),
            self.first_segment.eq(segment == 0),
            self.last_segment.eq(segment == d.segments),
            self.pixel_done.eq(segment_end & self.last_segment),
            self.block_done.eq(self.pixel_done & (self.pixel == self.pixels)),
            self.columns.eq(Mux(self.last_row_group, d.last_row_group_columns, (1 << self.geometry.columns) - 1)),
        ]
        with m.If(self.read):
            m.d.sync += self.phase.eq(Mux(phase_end, 0, self.phase + 1))
            with m.If(phase_end):
                m.d.sync += passed.eq(passed + 1)
        with m.If(segment_end):
            m.d.sync += [
                passed.eq(0),
                segment.eq(segment + 1),
                done.eq(self.last_segment),
                self.segment_lane.eq(self.segment_lane + d.segment_lanes),
            ]
        with m.If(self.step_end | self.init):
            m.d.sync += [
                done.eq(0),
                segment.eq(0),
                self.segment_lane.eq(0),
            ]
        with m.If(self.init):
            m.d.sync += [
                self.phase.eq(0),
                passed.eq(0),
            ]

    def _weight_reads(self, m: Module) -> None:
        """Read weight planes in the first step of a block, the last one in the cycle that requests the last operand."""
        d = self.descriptor
        pass_read = Signal()
        m.d.comb += [
            pass_read.eq(self.issuing & ~bypasses_array(d) & ~d.depthwise_unit & (self.pixel == 0)
                         & (self.cycle >= d.weights_from) & (self.cycle <= d.launch_at)),
            self.weight.read.eq(pass_read | (self.read & d.depthwise_unit & (self.plane == 0) & (self.phase == 0))),
            self.weight.first.eq(Mux(d.depthwise_unit, self.first_segment,
                                     (self.tap_group == 0) & (self.channel_block == 0) & (self.weight.plane == 0))),
        ]
        with m.If(pass_read):
            m.d.sync += self.weight.plane.eq(Mux(self.cycle == d.launch_at, 0, self.weight.plane + 1))
        with m.If(self.block_end & ~bypasses_array(d)):
            m.d.sync += self.weight.set.eq(~self.weight.set)
        with m.If(self.tile_issued):
            m.d.sync += self.weight.slot.eq(~self.weight.slot)
        with m.If(self.init):
            m.d.sync += self.weight.plane.eq(0)

    def _blocks(self, m: Module) -> None:
        """Count the address of the channel block; the blocks that row tiles read may move along with their channels."""
        d, geometry = self.descriptor, self.geometry
        word = Signal(geometry.address_bits)
        before = Signal()
        lane_after = Signal(geometry.lane_bits + 1)
        carry = lane_after[geometry.lane_bits]
        step = d.bits_a + 1
        m.d.comb += lane_after.eq(self.weight.tile_lane + d.tile_lanes)
        word_after = Mux(carry & ~before & (word != d.last_window), word + step, word)
        with m.If(self.init):
            m.d.sync += [
                self.weight.tile_lane.eq(d.tile_lane),
                before.eq(d.tile_before),
                word.eq(0),
                self.block_address.eq(0),
            ]
        with m.Elif(self.row_tile_end):
            m.d.sync += [
                self.weight.tile_lane.eq(lane_after),
                before.eq(before & ~carry),
                word.eq(word_after),
                self.block_address.eq(word_after),
            ]
        with m.Elif(self.group_end):
            m.d.sync += self.block_address.eq(word)
        with m.Elif(self.block_end):
            m.d.sync += self.block_address.eq(self.block_address + step)

    def _parts(self, m: Module) -> None:
        """Count the lanes with a channel in the block: all of them, but fewer in the last block of a part."""
        d, geometry = self.descriptor, self.geometry
        part = Signal(2)
        block = Signal(self.geometry.limits.block_bits)
        ends = block == d.part_blocks[part]
        m.d.comb += self.weight.part_lanes.eq(Mux(ends, d.part_lanes[part], geometry.lanes))
        with m.If(self.block_end):
            m.d.sync += [
                block.eq(Mux(ends, 0, block + 1)),
                part.eq(part + ends),
            ]
        with m.If(self.group_end | self.init):
            m.d.sync += [
                block.eq(0),
                part.eq(0),
            ]

    def _launch(self, m: Module) -> None:
        """Launch steps, which alternate between the operand sets, as tiles do between the accumulator banks."""
        d = self.descriptor
        file = Signal()
        bank = Signal()
        m.d.comb += [
            self.launch.eq(self.issuing & ~bypasses_array(d) & (self.cycle == d.launch_at)),
            self.step.file.eq(file),
            self.step.weights.eq(self.weight.set),
            self.step.bank.eq(bank),
            self.step.fresh.eq((self.tap_group == 0) & (self.channel_block == 0)),
            self.step.address.eq(self.pixel),
            self.step.columns.eq(self.columns),
            self.step.last_row_tile.eq(self.weight.last_row_tile),
            self.step.ends_tile.eq((self.pixel == self.pixels) & (self.channel_block == d.channel_blocks)
                                   & self.last_tap_group),
        ]
        with m.If(self.step_end):
            m.d.sync += file.eq(~file)
        with m.If(self.tile_end & ~bypasses_array(d)):
            m.d.sync += bank.eq(~bank)
