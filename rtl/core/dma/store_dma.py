"""Stores: tensors from the activation banks to the outward stream."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from rtl.core.addressing.bank_interleave import BankInterleaver
from rtl.core.dma.descriptor_queue import DescriptorQueue
from rtl.encoding.geometry import Geometry, exceeds

__all__ = ["StoreDma"]


class StoreDma(wiring.Component):
    """Send Store after Store: a word of every bank, then the next address; the last beat is filled up with zeros.

    A Store begins when the ops that it waits for have ended; its first beat is offered two cycles later, and then
    one in each cycle. What is offered stays until it is taken.

    Members
    -------
    table_write, table_index, table_data : its table of items, written by the host
    prepare : start over with the first item, three cycles before `enable`
    computes : ops that have ended
    stored : the last beat of a Store is being taken; `finishing`: after this cycle none is left
    bank_read, bank_address, bank_data : the store ports of the activation banks
    valid, ready, data, last : the stream; `last` is a Store's last beat
    illegal, op : the item at hand breaks a limit; index of its op
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        lanes, bits, columns = geometry.lanes, geometry.machine.stream_bits, geometry.columns
        self.per_beat = max(1, bits // lanes)
        self.beats_per_word = max(1, lanes // bits)
        self.table = DescriptorQueue(geometry.outward, geometry.outward_entries)
        super().__init__({
            "table_write": In(1),
            "table_index": In(ceil_log2(geometry.outward_entries)),
            "table_data": In(geometry.outward.size),
            "prepare": In(1),
            "enable": In(1),
            "computes": In(geometry.count_bits),
            "stored": Out(1),
            "finishing": Out(1),
            "bank_read": Out(columns),
            "bank_address": Out(geometry.address_bits).array(columns),
            "bank_data": In(lanes).array(columns),
            "valid": Out(1),
            "ready": In(1),
            "data": Out(bits),
            "last": Out(1),
            "illegal": Out(1),
            "op": Out(geometry.op_bits),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.table = table = self.table
        m.submodules.walk = walk = BankInterleaver(self.geometry, self.per_beat)
        item = table.current
        requested = Signal()
        free = Signal()
        m.d.comb += [
            table.write.eq(self.table_write),
            table.index.eq(self.table_index),
            table.data.eq(self.table_data),
            table.prepare.eq(self.prepare),
            table.take.eq(self.stored),
            walk.first.eq(item.first),
            walk.last.eq(item.last),
            self.bank_read.eq(walk.select),
            walk.step.eq(self.enable & ~table.over & (self.computes >= item.after_computes) & ~requested & free),
            self.stored.eq(self.valid & self.ready & self.last),
            self.finishing.eq(table.over | (self.stored & table.ending)),
            self.op.eq(item.op),
            self.illegal.eq(
                item.valid & ((item.first > item.last) | exceeds(item.last, self.geometry.bank_words - 1))),
        ]
        m.d.comb += [self.bank_address[c].eq(walk.address[c]) for c in range(self.geometry.columns)]
        with m.If(walk.step & walk.end):
            m.d.sync += requested.eq(1)
        with m.If(self.stored):
            m.d.sync += requested.eq(0)
        m.d.comb += free.eq(self._beats(m, walk))
        return m

    def _beats(self, m: Module, walk: BankInterleaver) -> Value:
        """Words that were read become beats; the result is high when there is room for the next words."""
        bits = self.geometry.machine.stream_bits
        held = Signal()
        origin = Signal.like(walk.bank)
        ends = Signal()
        part = Signal(range(self.beats_per_word))
        move = Signal()
        last_part = Signal()
        words = self._words(m, origin, ends)
        m.d.comb += [
            move.eq(held & (~self.valid | self.ready)),
            last_part.eq(part == self.beats_per_word - 1),
        ]
        free = ~held | (move & last_part)
        with m.If(walk.step):
            m.d.sync += [
                held.eq(1),
                origin.eq(walk.bank),
                ends.eq(walk.end),
            ]
        with m.Elif(free):
            m.d.sync += held.eq(0)
        with m.If(move):
            m.d.sync += [
                part.eq(part + 1),
                self.valid.eq(1),
                self.data.eq(words.word_select(part, bits)),
                self.last.eq(ends & last_part),
            ]
        with m.Elif(self.ready):
            m.d.sync += self.valid.eq(0)
        return free

    def _words(self, m: Module, origin: Value, ends: Value) -> Signal:
        """The words that the banks give from `origin` on, none behind the last address."""
        columns, lanes = self.geometry.columns, self.geometry.lanes
        words = Signal(self.per_beat * lanes)
        with m.Switch(origin):
            for first in range(columns):
                with m.Case(first):
                    m.d.comb += words.eq(Cat(
                        Mux(ends, 0, self.bank_data[word - columns]) if word >= columns else self.bank_data[word]
                        for word in range(first, first + self.per_beat)))
        return words
