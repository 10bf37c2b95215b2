"""Where outputs lie: the pixels of a part in a column's own bank, row tile after row tile."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.encoding.geometry import Geometry

__all__ = ["OutputAgu"]


class OutputAgu(wiring.Component):
    """Walk over the pixels of a row tile, at each over its groups of R channels, then over the row tiles.

    Output and residual are both walked like this. Only a row tile of depthwise lanes has more groups than one.

    Parameters
    ----------
    geometry : Geometry
    lattice : bool
        The pixels of a row group may lie apart from those of the next: `row_step` is used.

    Members
    -------
    descriptor : of the op that runs
    base : address of the part
    step : words of a pixel
    row_step : words from the last pixel of a row group to the first of the next one
    block_step : words of a channel block
    reset : go to the first pixel and its first group
    advance : go to the next group, pixel or row tile
    address : address of plane 0 of the pixel
    group : the group of R lanes
    columns : the columns that have this pixel, a bit each
    last : the group is the last one of the op
    """

    def __init__(self, geometry: Geometry, lattice: bool = False) -> None:
        self.geometry, self.lattice = geometry, lattice
        address = geometry.address_bits
        super().__init__({
            "descriptor": In(geometry.descriptor),
            "base": In(address),
            "step": In(address),
            "block_step": In(address),
            "reset": In(1),
            "advance": In(1),
            "address": Out(address),
            "group": Out(range(max(2, geometry.lane_slices))),
            "columns": Out(geometry.columns),
            "last": Out(1),
        } | ({"row_step": In(address)} if lattice else {}))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.descriptor
        pixel = Signal(self.geometry.limits.pixel_bits)
        row_tile = Signal(self.geometry.limits.tile_bits)
        block = Signal(len(self.address))
        block_after = Signal(len(self.address))
        first_group = Signal(range(max(2, self.geometry.lane_slices)))
        inner = Signal(max(1, self.geometry.channel_group_bits))
        group_after = Signal(range(self.geometry.lane_slices + 1))
        last_row_tile = Signal()
        last_pixel = Signal()
        last_inner = Signal()
        wraps = group_after == self.geometry.lane_slices
        m.d.comb += [
            last_row_tile.eq(row_tile == d.row_tiles),
            last_pixel.eq(pixel == d.pixels),
            last_inner.eq(inner == Mux(last_row_tile, d.last_tile_channel_groups, d.tile_channel_groups)),
            self.group.eq(first_group + inner),
            group_after.eq(first_group + Mux(d.depthwise_unit, self.geometry.tile_channel_groups, 1)),
            block_after.eq(Mux(wraps, block + self.block_step, block)),
            self.columns.eq(Mux(pixel >= d.last_row_group_pixel, d.last_row_group_columns,
                                (1 << self.geometry.columns) - 1)),
            self.last.eq(last_pixel & last_inner & last_row_tile),
        ]
        step = self._step(m, self.reset, self.advance & last_inner)
        with m.If(self.reset):
            m.d.sync += [
                pixel.eq(0),
                row_tile.eq(0),
                first_group.eq(0),
                inner.eq(0),
                block.eq(self.base),
                self.address.eq(self.base),
            ]
        with m.Elif(self.advance & ~last_inner):
            m.d.sync += inner.eq(inner + 1)
        with m.Elif(self.advance & last_pixel):
            m.d.sync += [
                pixel.eq(0),
                inner.eq(0),
                row_tile.eq(row_tile + 1),
                block.eq(block_after),
                first_group.eq(Mux(wraps, 0, group_after)),
                self.address.eq(block_after),
            ]
        with m.Elif(self.advance):
            m.d.sync += [
                pixel.eq(pixel + 1),
                inner.eq(0),
                self.address.eq(self.address + step),
            ]
        return m

    def _step(self, m: Module, restart: Value, moves: Value) -> Value:
        """Return the words to the next pixel, which may lie on the next row."""
        if not self.lattice:
            return self.step
        column = Signal(self.geometry.limits.map_bits)
        last_column = Signal()
        m.d.comb += last_column.eq(column == self.descriptor.out_width)
        with m.If(restart | (moves & last_column)):
            m.d.sync += column.eq(0)
        with m.Elif(moves):
            m.d.sync += column.eq(column + 1)
        return Mux(last_column, self.row_step, self.step)
