"""Where a window reads: a walk over its taps and a walk over the output pixels, without a multiplier or divider.

The input row of output row `g*C + c` and tap row ky is `stride*C*g + (stride*c + dilation*ky - top)`, with vertical
stride and dilation. The first
term belongs to the pixel and is the same for all columns; the second belongs to tap and column, and is kept as a
bank (its remainder modulo C) and an address (its quotient times the words of a row).
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl.core.interfaces import AguStep, PixelPosition, TapPosition
from rtl.encoding.geometry import Geometry

__all__ = ["PixelAgu", "TapAgu"]


class TapAgu(wiring.Component):
    """Generate the position of the current tap; `restore` goes back to the first tap of the group.

    Members
    -------
    descriptor : of the op that issues
    step : the tap was read (advance), a step of the sequencer ended (restore), a group of taps ended (commit)
    position : of the current tap
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        columns, address = geometry.columns, geometry.address_bits
        self.state = data.StructLayout({
            "tap": geometry.limits.tap_bits,
            "kernel_column": geometry.limits.map_bits,
            "column": signed(geometry.limits.map_bits),
            "address": address,
            "row": data.ArrayLayout(signed(geometry.limits.map_bits), columns),
            "bank": data.ArrayLayout(geometry.column_bits, columns),
            "quotient": data.ArrayLayout(address, columns),
        })
        super().__init__({
            "descriptor": In(geometry.descriptor),
            "step": In(AguStep()),
            "position": Out(TapPosition(geometry)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        current = Signal(self.state)
        group = Signal(self.state)
        start = Signal(self.state)
        after = Signal(self.state)
        following = Signal(self.state)
        self._start(m, start)
        self._after(m, current, after)
        m.d.comb += following.eq(Mux(self.step.advance, after, current))
        with m.If(self.step.reset):
            m.d.sync += [
                current.eq(start),
                group.eq(start),
            ]
        with m.Elif(self.step.commit):
            m.d.sync += [
                current.eq(following),
                group.eq(following),
            ]
        with m.Elif(self.step.restore):
            m.d.sync += current.eq(group)
        with m.Elif(self.step.advance):
            m.d.sync += current.eq(after)
        m.d.comb += [
            self.position.present.eq(current.tap <= self.descriptor.taps),
            self.position.column.eq(current.column),
            self.position.address.eq(current.address),
        ]
        for c in range(self.geometry.columns):
            m.d.comb += [
                self.position.row[c].eq(current.row[c]),
                self.position.bank[c].eq(current.bank[c]),
                self.position.quotient[c].eq(current.quotient[c]),
            ]
        return m

    def _start(self, m: Module, start: data.View) -> None:
        d = self.descriptor
        m.d.comb += [
            start.column.eq(d.left),
            start.address.eq(d.tap_start),
            start.row.eq(d.row),
            start.bank.eq(d.bank),
            start.quotient.eq(d.quotient),
        ]

    def _after(self, m: Module, current: data.View, after: data.View) -> None:
        d, columns = self.descriptor, self.geometry.columns
        m.d.comb += [
            after.eq(current),
            after.tap.eq(current.tap + 1),
        ]
        with m.If(current.kernel_column != d.kernel_width):
            m.d.comb += [
                after.kernel_column.eq(current.kernel_column + 1),
                after.column.eq(current.column + d.dilation),
                after.address.eq(current.address + d.tap_step),
            ]
        with m.Else():
            m.d.comb += [
                after.kernel_column.eq(0),
                after.column.eq(d.left),
                after.address.eq(d.tap_start),
            ]
            for c in range(columns):
                bank = Signal(range(2 * columns), name=f"bank_{c}")
                wrapped = Signal(name=f"wrapped_{c}")
                m.d.comb += [
                    bank.eq(current.bank[c] + d.bank_step),
                    wrapped.eq(bank >= columns),
                    after.bank[c].eq(Mux(wrapped, bank - columns, bank)),
                    after.quotient[c].eq(current.quotient[c] + d.tap_row_step + Mux(wrapped, d.pitch, 0)),
                    after.row[c].eq(current.row[c] + d.tap_rows),
                ]


class PixelAgu(wiring.Component):
    """Generate the position of the current output pixel in raster order of (row group, output column).

    Members
    -------
    descriptor : of the op that issues
    step : a step of the sequencer ended (advance), its block ended (restore), its tile ended (commit)
    position : of the current pixel
    last_row_group : the pixel is in the last row group, where some columns may have none
    """

    def __init__(self, geometry: Geometry) -> None:
        address = geometry.address_bits
        self.state = data.StructLayout({
            "x": geometry.limits.map_bits,
            "group": geometry.limits.map_bits,
            "row": geometry.limits.map_bits,
            "column": geometry.limits.map_bits,
            "group_address": unsigned(address),
            "address": unsigned(address),
        })
        super().__init__({
            "descriptor": In(geometry.descriptor),
            "step": In(AguStep()),
            "position": Out(PixelPosition(geometry)),
            "last_row_group": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        current = Signal(self.state)
        origin = Signal(self.state)
        after = Signal(self.state)
        self._after(m, current, after)
        with m.If(self.step.reset):
            m.d.sync += [
                current.eq(0),
                origin.eq(0),
            ]
        with m.Elif(self.step.commit):
            m.d.sync += [
                current.eq(after),
                origin.eq(after),
            ]
        with m.Elif(self.step.restore):
            m.d.sync += current.eq(origin)
        with m.Elif(self.step.advance):
            m.d.sync += current.eq(after)
        m.d.comb += [
            self.position.row.eq(current.row),
            self.position.column.eq(current.column),
            self.position.address.eq(current.address),
            self.last_row_group.eq(current.group == self.descriptor.row_groups),
        ]
        return m

    def _after(self, m: Module, current: data.View, after: data.View) -> None:
        d = self.descriptor
        m.d.comb += after.eq(current)
        with m.If(current.x != d.out_width):
            m.d.comb += [
                after.x.eq(current.x + 1),
                after.column.eq(current.column + d.stride),
                after.address.eq(current.address + d.pixel_step),
            ]
        with m.Else():
            address = Signal(len(current.address), name="next_group_address")
            m.d.comb += [
                address.eq(current.group_address + d.row_group_step),
                after.x.eq(0),
                after.column.eq(0),
                after.group.eq(current.group + 1),
                after.row.eq(current.row + d.row_group_rows),
                after.group_address.eq(address),
                after.address.eq(address),
            ]
