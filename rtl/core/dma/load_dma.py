"""The load DMA: everything that comes from the inward stream, in order and ahead of the sequencer."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from rtl.core.addressing.bank_interleave import BankInterleaver
from rtl.core.dma.descriptor_queue import DescriptorQueue
from rtl.core.interfaces import BankWrite, FaultReport, TableWrite
from rtl.encoding.geometry import Geometry, exceeds
from sim.hardware.dimensions import PARAMETER_SLOTS

__all__ = ["LoadDma"]


class LoadDma(wiring.Component):
    """Take item after item from the stream: tables and row tiles of Convs, and Loads.

    A row tile is parameter words for each of its groups of R channels, then weight words, rows inner. It may enter its
    weight slot when the row tile two before it was issued for the last time. A Load and a
    table are taken when the ops that they wait for have ended: for a table those that used its slot.

    Members
    -------
    table : the host writes the items
    prepare : start over with the first item; beats are taken three cycles later
    enable : beats may be taken
    computes : Convs and Pools that have ended
    stores : Stores that have ended
    slot_free : a row tile was issued; its weight slot is free from the next cycle on
    slot_filled : the last beat of a row tile is being taken
    loaded : the last beat of a Load is being taken
    finishing : after this cycle nothing is left to take
    i : the inward stream
    item_end : the beat at hand is the last one of its item
    run_end : the beat at hand is the last one of all items
    rows : the rows that take a word in this cycle, a bit each
    data : word for each row
    to_weights : the words are weights; otherwise they are parameters
    word : number of the words within their slot
    weight_slot : slot of the weights
    parameter_slot : slot of the parameters
    lookup_write : a word is for the tables
    lookup_slot : slot of that word
    lookup_word : number of that word within its slot
    lookup_data : that word
    bank : words of Loads for the activation banks
    illegal : the item at hand breaks a limit of the machine
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        lanes, bits = geometry.lanes, geometry.machine.stream_bits
        self.word_bits = max(geometry.weight_address_bits, ceil_log2(geometry.packet + 1))
        self.per_beat = max(1, bits // lanes)
        self.beats_per_word = max(1, lanes // bits)
        self.queue = DescriptorQueue(geometry.inward, geometry.inward_entries)
        count = geometry.count_bits
        super().__init__({
            "table": In(TableWrite(geometry.inward.size, geometry.inward_entries)),
            "prepare": In(1),
            "enable": In(1),
            "computes": In(count),
            "stores": In(count),
            "slot_free": In(1),
            "slot_filled": Out(1),
            "loaded": Out(1),
            "finishing": Out(1),
            "i": In(stream.Signature(bits)),
            "item_end": Out(1),
            "run_end": Out(1),
            "rows": Out(geometry.rows),
            "data": Out(lanes).array(geometry.rows),
            "to_weights": Out(1),
            "word": Out(self.word_bits),
            "weight_slot": Out(1),
            "parameter_slot": Out(ceil_log2(geometry.parameter_slots)),
            "lookup_write": Out(1),
            "lookup_slot": Out(1),
            "lookup_word": Out(geometry.table_address_bits),
            "lookup_data": Out(geometry.table_word_bits),
            "bank": Out(BankWrite(geometry)),
            "illegal": Out(FaultReport(geometry)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = self.queue
        connect(m, flipped(self.table), queue.table)
        item = queue.current
        beat = Signal()
        words = Signal(self.per_beat * self.geometry.lanes)
        whole = Signal()
        self._assemble(m, beat, words, whole)
        tile_slot = Signal(ceil_log2(PARAMETER_SLOTS))
        group = Signal(max(1, self.geometry.channel_group_bits))
        m.d.comb += self.parameter_slot.eq(Cat(group[: self.geometry.channel_group_bits], tile_slot))
        is_table = self._is_table()
        is_tile = Signal()
        m.d.comb += is_tile.eq(~(item.load | is_table))
        tile_end = self._row_tile(m, group, beat & is_tile, words, whole)
        load_end = self._load(m, beat & item.load, words, whole)
        table_end = self._table(m, beat, words, whole)
        tiles = Signal(self.geometry.limits.tile_bits)
        last_tile = Signal()
        m.d.comb += [
            queue.prepare.eq(self.prepare),
            queue.take.eq(beat & self.item_end & (~is_tile | last_tile)),
            last_tile.eq(tiles == item.tiles),
            self.item_end.eq(Mux(item.load, load_end, Mux(is_table, table_end, tile_end))),
            self.run_end.eq(self.item_end & (~is_tile | last_tile) & queue.ending),
            self.slot_filled.eq(beat & is_tile & tile_end),
            self.loaded.eq(beat & item.load & load_end),
            self.finishing.eq(queue.over | (queue.take & queue.ending)),
            beat.eq(self.i.valid & self.i.ready),
            self.i.ready.eq(self.enable & ~queue.over
                            & Mux(is_tile, self._tile_may(m, beat & is_tile), self._others_ended())),
            self.illegal.op.eq(item.op),
            self.illegal.found.eq(item.valid & Mux(
                item.load, (item.first > item.last) | exceeds(item.last, self.geometry.bank_words - 1),
                exceeds(item.words, self.geometry.machine.weight_words) | self._illegal_table()
                | exceeds(item.tile_channel_groups, self.geometry.tile_channel_groups - 1))),
        ]
        with m.If(self.slot_filled):
            m.d.sync += [
                tiles.eq(Mux(last_tile, 0, tiles + 1)),
                self.weight_slot.eq(~self.weight_slot),
                tile_slot.eq(tile_slot + 1),
            ]
        return m

    def _is_table(self) -> Value:
        """Return whether the item at hand is a table, which only machines with tables take for one."""
        item = self.queue.current
        return item.table & ~item.load if self.geometry.table_words else Const(0, 1)

    def _others_ended(self) -> Value:
        item = self.queue.current
        return (self.computes >= item.after_computes) & (self.stores >= item.after_stores)

    def _tile_may(self, m: Module, tile_beat: Value) -> Value:
        """Return whether a row tile was begun, or one of the two weight slots is free."""
        open_tile = Signal()
        free = Signal(2, init=2)
        m.d.sync += free.eq(free + self.slot_free - (tile_beat & ~open_tile))
        with m.If(tile_beat):
            m.d.sync += open_tile.eq(~self.slot_filled)
        return open_tile | (free != 0)

    def _assemble(self, m: Module, beat: Value, words: Signal, whole: Signal) -> None:
        """Assemble words of the beats so far; `whole` when the beat at hand completes them."""
        lanes, bits = self.geometry.lanes, self.geometry.machine.stream_bits
        part = Signal(range(self.beats_per_word))
        earlier = Signal(lanes - bits if bits < lanes else 0, reset_less=True)
        m.d.comb += [
            words.eq(Cat(earlier, self.i.payload)),
            whole.eq(part == self.beats_per_word - 1),
        ]
        with m.If(beat):
            m.d.sync += [
                part.eq(part + 1),
                earlier.eq(words[bits:]),
            ]

    def _row_tile(self, m: Module, group: Signal, beat: Value, words: Value, whole: Value) -> Value:
        """Give words to the rows; the result is high when the beat at hand is the row tile's last."""
        lanes, rows = self.geometry.lanes, self.geometry.rows
        turn = Signal(range(rows // self.per_beat))
        complete = Signal()
        word_end = Signal()
        last_word = Signal()
        item, word = self.queue.current, self.word
        last_of_packet, last_group = word == self.geometry.packet - 1, group == item.tile_channel_groups
        last_parameter = last_of_packet & last_group
        m.d.comb += [
            complete.eq(beat & whole),
            word_end.eq(whole & (turn == rows // self.per_beat - 1)),
            last_word.eq(Mux(self.to_weights, word + 1 == item.words, last_parameter & (item.words == 0))),
        ]
        with m.If(complete):
            m.d.sync += turn.eq(turn + 1)
        with m.If(beat & word_end):
            m.d.sync += word.eq(word + 1)
            with m.If(last_word):
                m.d.sync += [
                    word.eq(0),
                    group.eq(0),
                    self.to_weights.eq(0),
                ]
            with m.Elif(~self.to_weights & last_of_packet):
                m.d.sync += [
                    word.eq(0),
                    group.eq(Mux(last_group, 0, group + 1)),
                    self.to_weights.eq(last_group),
                ]
        for r in range(rows):
            m.d.comb += [
                self.rows[r].eq(complete & (turn == r // self.per_beat)),
                self.data[r].eq(words.word_select(r % self.per_beat, lanes)),
            ]
        return word_end & last_word

    def _illegal_table(self) -> Value:
        """Return whether the item is a table that is larger than a slot, or on a machine without tables."""
        item, words = self.queue.current, self.geometry.table_words
        return item.table & exceeds(item.table_words, words - 1) if words else item.table

    def _table(self, m: Module, beat: Value, words: Value, whole: Value) -> Value:
        """Give words to the tables; the result is high when the beat at hand is the table's last."""
        if not self.geometry.table_words:
            return Const(0, 1)
        item = self.queue.current
        end = Signal()
        m.d.comb += [
            self.lookup_write.eq(beat & whole & self._is_table()),
            self.lookup_data.eq(words),
            end.eq(whole & (self.lookup_word == item.table_words)),
        ]
        with m.If(self.lookup_write):
            m.d.sync += self.lookup_word.eq(Mux(end, 0, self.lookup_word + 1))
            with m.If(end):
                m.d.sync += self.lookup_slot.eq(~self.lookup_slot)
        return end

    def _load(self, m: Module, beat: Value, words: Value, whole: Value) -> Value:
        """Give words to the banks; the result is high when the beat at hand is the Load's last."""
        m.submodules.agu = agu = BankInterleaver(self.geometry, self.per_beat)
        item, columns, lanes = self.queue.current, self.geometry.columns, self.geometry.lanes
        m.d.comb += [
            agu.first.eq(item.first),
            agu.last.eq(item.last),
            agu.step.eq(beat & whole),
            self.bank.write.eq(agu.select),
        ]
        m.d.comb += [self.bank.address[c].eq(agu.address[c]) for c in range(columns)]
        with m.Switch(agu.bank):
            for origin in range(columns):
                with m.Case(origin):
                    m.d.comb += [self.bank.data[(origin + word) % columns].eq(words.word_select(word, lanes))
                                 for word in range(self.per_beat)]
        return whole & agu.end
