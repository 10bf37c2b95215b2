"""The operand fetch: addresses for the banks, the switch from banks to columns, padding and tap segments."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl.core.interfaces import BankRead, PixelPosition, TapPosition, read_layout
from rtl.encoding.geometry import Geometry

__all__ = ["OperandFetch", "rotate_lanes"]


def rotate_lanes(m: Module, word: Value, amount: Value, name: str) -> Value:
    """Return `word` with every lane moved up by `amount`, modulo its width (a power of two)."""
    for stage in range(len(amount)):
        rotated = Signal(len(word), name=f"{name}_{stage}")
        m.d.comb += rotated.eq(Mux(amount[stage], word.rotate_left(1 << stage), word))
        word = rotated
    return word


class OperandFetch(wiring.Component):
    """Fetch operand words in three stages: bank addresses, the switch from banks to columns, the segment of the tap.

    Members
    -------
    descriptor : of the op that issues
    running : of the op whose words come back
    read : a word is read for each column, one cycle ahead
    phase : the columns of this phase are served
    columns : the columns that have a pixel, a bit each
    slice_lane : lane of the row tile's first channel, in a depthwise layer
    request : what goes along with the read
    block_address : address of the channel block
    tap : position of the tap
    pixel : position of the output pixel
    bank : reads of the activation banks
    loaded : what goes along with the words that the banks show
    arrived : what goes along with `word`
    word : word of each column, two cycles after its address
    segment_mask : lanes of the segment of the tap, a bit each
    segment_word : word of each column, moved into the segment of its tap
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        columns, address, lanes = geometry.columns, geometry.address_bits, geometry.lanes
        self.layout = read_layout(geometry)
        super().__init__({
            "descriptor": In(geometry.descriptor),
            "running": In(geometry.descriptor),
            "read": In(1),
            "phase": In(geometry.column_bits),
            "columns": In(columns),
            "slice_lane": In(max(1, geometry.lane_bits)),
            "request": In(self.layout),
            "block_address": In(address),
            "tap": In(TapPosition(geometry)),
            "pixel": In(PixelPosition(geometry)),
            "bank": Out(BankRead(geometry)),
            "loaded": Out(self.layout),
            "arrived": Out(self.layout),
            "word": Out(lanes).array(columns),
            "segment_mask": Out(lanes),
            "segment_word": Out(lanes).array(columns),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ahead = Signal(self.layout)
        addressed = Signal(self.layout)
        self._columns(m, ahead)
        self._addresses(m, ahead)
        m.d.sync += [
            addressed.eq(ahead),
            self.loaded.eq(addressed),
            self.arrived.eq(self.loaded),
        ]
        self._switch(m, self.loaded)
        self._segments(m)
        return m

    def _columns(self, m: Module, ahead: data.View) -> None:
        """Find the columns that this read serves, and those of them that look into the map."""
        d = self.descriptor
        column = Signal(signed(self.geometry.limits.map_bits + 2))
        inside = Signal()
        m.d.comb += [
            ahead.eq(self.request),
            column.eq(self.tap.column + self.pixel.column),
            inside.eq((column >= 0) & (column < d.width)),
            ahead.rotation.eq(self.request.segment_lane - (self.slice_lane & d.segment_mask)),
        ]
        for c in range(self.geometry.columns):
            row = Signal(signed(self.geometry.limits.map_bits + 2), name=f"row_{c}")
            m.d.comb += [
                row.eq(self.tap.row[c] + self.pixel.row),
                ahead.strobe[c].eq(self.read & self.tap.present & self.columns[c] & (d.phase[c] == self.phase)),
                ahead.inside[c].eq(inside & (row >= 0) & (row < d.height)),
                ahead.bank[c].eq(self.tap.bank[c]),
            ]

    def _addresses(self, m: Module, ahead: data.View) -> None:
        """Give each bank the address of the column that it serves; no two columns of a phase want the same bank."""
        shared = Signal(self.geometry.address_bits)
        m.d.comb += shared.eq(self.tap.address + self.pixel.address + self.block_address + self.request.plane)
        for b in range(self.geometry.columns):
            wanted = [ahead.strobe[c] & ahead.inside[c] & (ahead.bank[c] == b) for c in range(self.geometry.columns)]
            quotient = Signal(self.geometry.address_bits, name=f"quotient_{b}")
            read = Signal(name=f"read_{b}")
            m.d.comb += read.eq(Cat(wanted).any())
            for c, want in enumerate(wanted):
                with m.If(want):
                    m.d.comb += quotient.eq(self.tap.quotient[c])
            m.d.sync += self.bank.read[b].eq(read)
            with m.If(read):
                m.d.sync += self.bank.address[b].eq(shared + quotient)

    def _switch(self, m: Module, loaded: data.View) -> None:
        """Give every column the word of its bank, or planes of the zero point outside the map."""
        zero = self.running.zero_code.bit_select(loaded.plane, 1)
        for c in range(self.geometry.columns):
            word = Signal(self.geometry.lanes, name=f"from_bank_{c}")
            with m.Switch(loaded.bank[c]):
                for b in range(self.geometry.columns):
                    with m.Case(b):
                        m.d.comb += word.eq(self.bank.data[b])
            with m.If(loaded.strobe[c]):
                m.d.sync += self.word[c].eq(Mux(loaded.inside[c], word, zero.replicate(self.geometry.lanes)))

    def _segments(self, m: Module) -> None:
        lanes = self.geometry.lanes
        for lane in range(lanes):
            m.d.comb += self.segment_mask[lane].eq(
                (self.running.segment_mask & lane) == self.arrived.segment_lane)
        for c in range(self.geometry.columns):
            m.d.comb += self.segment_word[c].eq(
                rotate_lanes(m, self.word[c], self.arrived.rotation, f"rotated_{c}"))
