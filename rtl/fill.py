"""The fill engine: parameters and weights from the stream into the row memories, ahead of the sequencer."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from rtl.geometry import Geometry
from rtl.ram import Ram
from sim.limits import TILE_BITS

__all__ = ["PARAMETER_SLOTS", "FillEngine"]

PARAMETER_SLOTS = 4
"""Row tiles whose parameters are kept: the requantizer works up to two behind the fill."""


class FillEngine(wiring.Component):
    """Take row tile after row tile from the stream: parameter words, then weight words, rows inner.

    A row tile may enter its weight slot when the row tile two before it was issued for the last time.

    Members
    -------
    table_write, table_index, table_data : its own table of records, written by the host
    prepare : start over with the first record; it takes beats two cycles later, while `enable`
    released : a row tile was issued (its slot is free from the next cycle on)
    filled : the last beat of a row tile is being taken
    stream_valid, stream_ready, stream_data : the stream
    rows, data, word, to_weights, weight_slot, parameter_slot : a word for each row in the mask `rows`: number `word`
        of the weights, or else of the parameters, in its slot
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        lanes, bits = geometry.lanes, geometry.machine.stream_bits
        self.word_bits = max(geometry.weight_address_bits, ceil_log2(geometry.packet + 1))
        self.per_beat = max(1, bits // lanes)
        self.beats_per_word = max(1, lanes // bits)
        super().__init__({
            "table_write": In(1), "table_index": In(ceil_log2(geometry.records + 1)),
            "table_data": In(geometry.fill.size),
            "prepare": In(1), "enable": In(1), "released": In(1), "filled": Out(1),
            "stream_valid": In(1), "stream_ready": Out(1), "stream_data": In(bits),
            "rows": Out(geometry.rows), "data": Out(lanes).array(geometry.rows), "to_weights": Out(1),
            "word": Out(self.word_bits),
            "weight_slot": Out(1), "parameter_slot": Out(ceil_log2(PARAMETER_SLOTS)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        current, tiles = Signal(self.geometry.fill), Signal(TILE_BITS)
        beat, tile_end, record_end = Signal(), Signal(), Signal()
        word_end = self._rows(m, beat)
        self._words(m, current.words, word_end, tile_end)
        following, loading = self._table(m, record_end)
        open_tile, free = Signal(), Signal(2, init=2)
        m.d.comb += [
            self.stream_ready.eq(self.enable & current.valid & (open_tile | (free != 0))),
            beat.eq(self.stream_valid & self.stream_ready), self.filled.eq(tile_end),
            record_end.eq(tile_end & (tiles == current.tiles)),
        ]
        m.d.sync += free.eq(free + self.released - (beat & ~open_tile))
        with m.If(beat):
            m.d.sync += open_tile.eq(~tile_end)
        with m.If(tile_end):
            m.d.sync += [tiles.eq(Mux(record_end, 0, tiles + 1)), self.weight_slot.eq(~self.weight_slot),
                         self.parameter_slot.eq(self.parameter_slot + 1)]
        with m.If(record_end | loading):
            m.d.sync += current.eq(following)
        return m

    def _rows(self, m: Module, beat: Value) -> Value:
        """Which rows a beat completes a word for; the result is high when it is the last row."""
        lanes, rows, bits = self.geometry.lanes, self.geometry.rows, self.geometry.machine.stream_bits
        part, group = Signal(range(self.beats_per_word)), Signal(range(rows // self.per_beat))
        earlier = Signal(lanes - bits if bits < lanes else 0, reset_less=True)
        assembled = Cat(earlier, self.stream_data)
        complete, last = Signal(), Signal()
        m.d.comb += [complete.eq(beat & (part == self.beats_per_word - 1)),
                     last.eq(complete & (group == rows // self.per_beat - 1))]
        with m.If(beat):
            m.d.sync += [part.eq(part + 1), earlier.eq(assembled[bits:])]
        with m.If(complete):
            m.d.sync += group.eq(group + 1)
        for r in range(rows):
            m.d.comb += [self.rows[r].eq(complete & (group == r // self.per_beat)),
                         self.data[r].eq(assembled.word_select(r % self.per_beat, lanes))]
        return last

    def _words(self, m: Module, words: Value, word_end: Value, tile_end: Signal) -> None:
        """Count the parameter words, then the weight words, of a row tile."""
        word = self.word
        last_parameter = word == self.geometry.packet - 1
        m.d.comb += tile_end.eq(word_end & Mux(self.to_weights, word + 1 == words, last_parameter & (words == 0)))
        with m.If(word_end):
            m.d.sync += word.eq(word + 1)
            with m.If(tile_end):
                m.d.sync += [word.eq(0), self.to_weights.eq(0)]
            with m.Elif(~self.to_weights & last_parameter):
                m.d.sync += [word.eq(0), self.to_weights.eq(1)]

    def _table(self, m: Module, record_end: Value) -> tuple[data.View, Value]:
        """The next record, read one ahead so that no beat is lost between records; and when to load the first."""
        m.submodules.table = table = Ram(self.geometry.fill.size, self.geometry.records + 1)
        shown, loading = Signal(len(table.raddr)), Signal()
        m.d.comb += [
            table.wen.eq(self.table_write), table.waddr.eq(self.table_index), table.wdata.eq(self.table_data),
            table.ren.eq(self.prepare | loading | record_end), table.raddr.eq(Mux(self.prepare, 0, shown + 1)),
        ]
        m.d.sync += loading.eq(self.prepare)
        with m.If(table.ren):
            m.d.sync += shown.eq(table.raddr)
        return data.View(self.geometry.fill, table.rdata), loading
