"""The store DMA: tensors from the activation banks to the outward stream."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from rtl.core.addressing.bank_interleave import BankInterleaver
from rtl.core.dma.descriptor_queue import DescriptorQueue
from rtl.core.dma.word_buffer import WordBuffer
from rtl.core.interfaces import BankRead, FaultReport, TableWrite, beat_layout
from rtl.encoding.geometry import Geometry, exceeds

__all__ = ["StoreDma"]


class StoreDma(wiring.Component):
    """Send Store after Store: a word of every bank, then the next address; the last beat is filled up with zeros.

    A Store begins when the ops that it waits for have ended; its first beat is offered two cycles later, and then
    one in each cycle. What is offered stays until it is taken.

    Members
    -------
    table : the host writes the Stores
    prepare : start over with the first Store, three cycles before `enable`
    enable : Stores may begin
    computes : Convs and Pools that have ended
    stored : the last beat of a Store is being taken
    finishing : after this cycle no Store is left
    bank : reads of the activation banks
    o : the outward stream; a packet is a Store
    illegal : the Store at hand breaks a limit of the machine
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        lanes, bits = geometry.lanes, geometry.machine.stream_bits
        self.per_beat = max(1, bits // lanes)
        self.beats_per_word = max(1, lanes // bits)
        self.queue = DescriptorQueue(geometry.outward, geometry.outward_entries)
        self.buffer = WordBuffer(self.per_beat * lanes)
        super().__init__({
            "table": In(TableWrite(geometry.outward.size, geometry.outward_entries)),
            "prepare": In(1),
            "enable": In(1),
            "computes": In(geometry.count_bits),
            "stored": Out(1),
            "finishing": Out(1),
            "bank": Out(BankRead(geometry)),
            "o": Out(stream.Signature(beat_layout(bits))),
            "illegal": Out(FaultReport(geometry)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = self.queue
        connect(m, flipped(self.table), queue.table)
        m.submodules.agu = agu = BankInterleaver(self.geometry, self.per_beat)
        item = queue.current
        requested = Signal()
        free = Signal()
        m.d.comb += [
            queue.prepare.eq(self.prepare),
            queue.take.eq(self.stored),
            agu.first.eq(item.first),
            agu.last.eq(item.last),
            self.bank.read.eq(agu.select),
            agu.step.eq(self.enable & ~queue.over & (self.computes >= item.after_computes) & ~requested & free),
            self.stored.eq(self.o.valid & self.o.ready & self.o.payload.last),
            self.finishing.eq(queue.over | (self.stored & queue.ending)),
            self.illegal.op.eq(item.op),
            self.illegal.found.eq(
                item.valid & ((item.first > item.last) | exceeds(item.last, self.geometry.bank_words - 1))),
        ]
        m.d.comb += [self.bank.address[c].eq(agu.address[c]) for c in range(self.geometry.columns)]
        with m.If(agu.step & agu.end):
            m.d.sync += requested.eq(1)
        with m.If(self.stored):
            m.d.sync += requested.eq(0)
        m.d.comb += free.eq(self._beats(m, agu))
        return m

    def _beats(self, m: Module, agu: BankInterleaver) -> Value:
        """Send the words that were read as beats; the result is high when there is room for the next words.

        Registers alone decide whether there is room, so that no path leads from the reader of the stream to the
        memories.
        """
        bits, buffer = self.geometry.machine.stream_bits, self.buffer
        m.submodules.buffer = buffer
        origin = Signal.like(agu.bank)
        ends = Signal()
        part = Signal(range(self.beats_per_word))
        sent = Signal()
        last_part = Signal()
        m.d.sync += buffer.arrives.eq(agu.step)
        with m.If(agu.step):
            m.d.sync += [
                origin.eq(agu.bank),
                ends.eq(agu.end),
            ]
        m.d.comb += [
            buffer.reads.eq(agu.step),
            buffer.arriving.words.eq(self._words(m, origin, ends)),
            buffer.arriving.ends.eq(ends),
            self.o.valid.eq(buffer.valid),
            sent.eq(buffer.valid & self.o.ready),
            last_part.eq(part == self.beats_per_word - 1),
            buffer.take.eq(sent & last_part),
            self.o.payload.data.eq(buffer.first.words.word_select(part, bits)),
            self.o.payload.last.eq(buffer.first.ends & last_part),
        ]
        with m.If(sent):
            m.d.sync += part.eq(part + 1)
        return buffer.room

    def _words(self, m: Module, origin: Value, ends: Value) -> Signal:
        """Return the words that the banks give from `origin` on, none after the last address."""
        columns, lanes = self.geometry.columns, self.geometry.lanes
        words = Signal(self.per_beat * lanes)
        with m.Switch(origin):
            for first in range(columns):
                with m.Case(first):
                    m.d.comb += words.eq(Cat(
                        Mux(ends, 0, self.bank.data[word - columns]) if word >= columns else self.bank.data[word]
                        for word in range(first, first + self.per_beat)))
        return words
