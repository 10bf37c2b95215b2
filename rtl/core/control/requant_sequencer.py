"""The requantizers' sequencer: pixel after pixel of the tiles that the array has completed."""

from __future__ import annotations

from itertools import pairwise

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from rtl.core.datapath.requantizer import CODE_STAGES
from rtl.core.interfaces import CodeCapture
from rtl.encoding.geometry import Geometry
from sim.hardware.dimensions import PARAMETER_SLOTS

__all__ = ["RequantSequencer"]


class RequantSequencer(wiring.Component):
    """Give every pixel and group of R channels of a tile a slot of `requant_cycles`, one after another without a gap.

    In a slot each unit goes through its rows, and through the terms of each row. A row's accumulator and parameters
    are read with its first term, and every term is executed one cycle later.

    Members
    -------
    descriptor : of the op that runs
    begun : first cycle of an op
    tile_ready : a tile's accumulators are complete after this cycle
    active : a tile is being requantized
    tile_done : last cycle of a tile
    slot_start : first cycle of a slot
    slot_end : last cycle of a slot
    drain : rows whose accumulators are read in this cycle, a bit each
    drain_reference : the accumulators of the reference row are read in this cycle
    bank : accumulator bank of the tile
    address : address of the pixel's accumulators
    columns : the columns that have the pixel, a bit each
    parameter_slot : slot of the pixel's parameters
    execute : the units of each column that take a term, a bit each
    execute_columns : the columns whose units take it, a bit each
    first : the term is the first one of its row
    last : the term is the last one of its row
    residual : the term is one of the residual
    gated : the term is one of the gate
    index : number of the digit in its multiplier
    unit_row : row of the units that the term belongs to
    set : register set of the pixel
    acc_bank : accumulator bank that the term belongs to
    ready : codes of the requantizers that are ready
    capture : codes of the op that are ready: those, or what its table has there a cycle later
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        units, row, columns = geometry.units, geometry.unit_row_bits, geometry.columns
        super().__init__({
            "descriptor": In(geometry.descriptor),
            "begun": In(1),
            "tile_ready": In(1),
            "active": Out(1),
            "tile_done": Out(1),
            "slot_start": Out(1),
            "slot_end": Out(1),
            "drain": Out(geometry.rows),
            "drain_reference": Out(1),
            "bank": Out(1),
            "address": Out(geometry.accumulator_address_bits),
            "columns": Out(columns),
            "parameter_slot": Out(ceil_log2(geometry.parameter_slots)),
            "execute": Out(units),
            "execute_columns": Out(columns),
            "first": Out(1),
            "last": Out(1),
            "residual": Out(1),
            "gated": Out(1),
            "index": Out(3),
            "unit_row": Out(row),
            "set": Out(1),
            "acc_bank": Out(1),
            "ready": Out(CodeCapture(geometry)),
            "capture": Out(CodeCapture(geometry)),
        })
        self.pixel_set = Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.descriptor
        cycle = Signal(self.geometry.limits.step_bits)
        last_rows = self._tiles(m)
        rows = Signal(self.geometry.rows)
        m.d.comb += [
            self.slot_start.eq(self.active & (cycle == 0)),
            self.slot_end.eq(self.active & (cycle == d.requant_cycles)),
            rows.eq(Mux(last_rows, d.last_tile_rows, (1 << self.geometry.rows) - 1)),
        ]
        with m.If(self.active):
            m.d.sync += cycle.eq(Mux(self.slot_end, 0, cycle + 1))
        self._terms(m, rows)
        self._captures(m)
        return m

    def _tiles(self, m: Module) -> Value:
        """Count ready tiles, and walk over pixels and groups of the one at hand; high in the op's last group."""
        d = self.descriptor
        ready = Signal(2)
        warm = Signal(4)
        pixel = Signal(self.geometry.limits.pixel_bits)
        position = Signal(self.geometry.limits.pixel_bits)
        chunk = Signal(self.geometry.limits.pixel_bits)
        row_tile = Signal(self.geometry.limits.tile_bits)
        start = Signal()
        last_chunk = Signal()
        group = Signal(max(1, self.geometry.channel_group_bits))
        last_group = Signal()
        last_row_tile = Signal()
        slot = Signal(ceil_log2(PARAMETER_SLOTS))
        index = group[: self.geometry.channel_group_bits]
        m.d.comb += [
            last_chunk.eq(chunk == d.chunks),
            last_row_tile.eq(row_tile == d.row_tiles),
            last_group.eq(group == Mux(last_row_tile, d.last_tile_channel_groups, d.tile_channel_groups)),
            self.tile_done.eq(self.slot_end & last_group
                              & (pixel == Mux(last_chunk, d.last_chunk_pixels, d.chunk_pixels))),
            start.eq((~self.active | self.tile_done) & ((ready != 0) | self.tile_ready) & (warm == 0)),
            self.columns.eq(Mux(position >= d.last_row_group_pixel, d.last_row_group_columns,
                                (1 << self.geometry.columns) - 1)),
            self.address.eq(Mux(d.depthwise_unit, Cat(index, pixel), pixel)),
            self.parameter_slot.eq(Cat(index, slot)),
        ]
        m.d.sync += [
            self.active.eq(start | (self.active & ~self.tile_done)),
            ready.eq(ready + self.tile_ready - start),
            warm.eq(Mux(warm == 0, 0, warm - 1)),
        ]
        with m.If(self.slot_end):
            m.d.sync += [
                group.eq(Mux(last_group, 0, group + 1)),
                self.pixel_set.eq(~self.pixel_set),
            ]
        with m.If(self.slot_end & last_group):
            m.d.sync += [
                pixel.eq(pixel + 1),
                position.eq(position + 1),
            ]
        with m.If(self.tile_done):
            m.d.sync += [
                pixel.eq(0),
                chunk.eq(chunk + 1),
                self.bank.eq(~self.bank),
            ]
            with m.If(last_chunk):
                m.d.sync += [
                    chunk.eq(0),
                    position.eq(0),
                    row_tile.eq(row_tile + 1),
                    slot.eq(slot + 1),
                ]
        with m.If(self.begun):
            m.d.sync += [
                row_tile.eq(0),
                self.pixel_set.eq(0),
                warm.eq(Mux(d.has_residual, d.residual_bits + 1, 0)),
            ]
        return last_row_tile & last_group

    def _terms(self, m: Module, rows: Value) -> None:
        d, per_unit = self.descriptor, self.geometry.rows_per_unit
        term = Signal(5)
        unit_row = Signal(self.geometry.unit_row_bits, name="row")
        done = Signal()
        busy = Signal()
        last = Signal()
        residual = Signal()
        gated = Signal()
        gate_from = Signal(5)
        valid = Signal(self.geometry.units)
        m.d.comb += [
            busy.eq(self.active & ~done),
            gate_from.eq(d.terms + d.residual_terms),
            last.eq(term + 1 == gate_from + d.gate_terms),
            residual.eq((term >= d.terms) & ~gated),
            gated.eq(term >= gate_from),
            valid.eq(Cat(Array(rows[u * per_unit + i] for i in range(per_unit))[unit_row]
                         for u in range(self.geometry.units))),
            self.drain_reference.eq(self.slot_start & d.bipolar),
            self.drain.eq(Cat(busy & (term == 0) & (unit_row == r % per_unit) & rows[r]
                              for r in range(self.geometry.rows))),
        ]
        with m.If(busy):
            m.d.sync += [
                term.eq(Mux(last, 0, term + 1)),
                unit_row.eq(unit_row + last),
                done.eq(last & (unit_row == per_unit - 1)),
            ]
        with m.If(self.slot_end):
            m.d.sync += [
                term.eq(0),
                unit_row.eq(0),
                done.eq(0),
            ]
        m.d.sync += [
            self.execute.eq(Mux(busy, valid, 0)),
            self.execute_columns.eq(self.columns),
            self.first.eq(term == 0),
            self.last.eq(last),
            self.residual.eq(residual),
            self.gated.eq(gated),
            self.index.eq(term - Mux(gated, gate_from, Mux(residual, d.terms, 0))),
            self.unit_row.eq(unit_row),
            self.set.eq(self.pixel_set),
            self.acc_bank.eq(self.bank),
        ]

    def _captures(self, m: Module) -> None:
        """Announce the codes, three cycles after their last term, and a cycle later what a table has there."""
        after, capture = ((port.units, port.row, port.set, port.columns) for port in (self.ready, self.capture))
        before = (Mux(self.last, self.execute, 0), self.unit_row, self.set, self.execute_columns)
        between = [tuple(Signal.like(port) for port in after) for _ in range(CODE_STAGES - 1)]
        for earlier, later in pairwise((before, *between, after)):
            m.d.sync += [register.eq(value) for register, value in zip(later, earlier, strict=True)]
        for i in range(len(after)):
            if self.geometry.table_words:
                looked_up = Signal.like(after[i])
                m.d.sync += looked_up.eq(after[i])
                m.d.comb += capture[i].eq(Mux(self.descriptor.table, looked_up, after[i]))
            else:
                m.d.comb += capture[i].eq(after[i])
