"""Streams and buses: offers that stay until they are taken, and one response to every request."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Mux, Signal, Value

from rtl.core.dma.store_dma import StoreDma
from rtl.core.dma.word_buffer import PLACES, WordBuffer
from rtl.encoding.geometry import Geometry
from rtl.shell.axi_lite import OKAY, SLVERR, AxiLiteSlave
from rtl.shell.stream_guard import StreamGuard
from rtl.verification.formal.harness import (
    Harness,
    after_reset,
    assume,
    check,
    drive_freely,
    follows,
    free,
    past,
    probe,
    reach,
)
from sim.arch.machine import Machine

__all__ = ["axi_lite", "store_order", "store_stream", "stream_guard", "word_buffer"]


def _stays(m: Harness, valid: Value, ready: Value, *payload: Value) -> Value:
    """Claim that what was offered and not taken in the cycle before is offered again, unchanged."""
    held = past(m, valid & ~ready, cleared=True)
    return ~held | (valid & (Cat(payload) == past(m, Cat(payload))))


def axi_lite() -> Harness:
    """The AXI4-Lite slave answers every request once and in order, and keeps its answers until they are taken.

    The master and the registers behind the slave do what they like.
    """
    m = after_reset()
    m.submodules.dut = bus = AxiLiteSlave()
    drive_freely(m, bus)
    check(m, _stays(m, bus.bvalid, bus.bready, bus.bresp), "a write response stays until it is taken")
    check(m, _stays(m, bus.rvalid, bus.rready, bus.rdata, bus.rresp), "a read response stays until it is taken")
    answered = {"b": bus.bvalid & bus.bready, "r": bus.rvalid & bus.rready}
    for name, response, asked, idle in (
            ("aw", "b", bus.awvalid & bus.awready, bus.awready), ("w", "b", bus.wvalid & bus.wready, bus.wready),
            ("ar", "r", bus.arvalid & bus.arready, bus.arready)):
        owed, valid = Signal(8, name=f"{name}_owed"), getattr(bus, f"{response}valid")
        m.d.sync += owed.eq(owed + asked - answered[response])
        check(m, owed == ~idle + valid, f"each request on {name} is answered once, and nothing else")
    _check_accesses(m, bus)
    return m


def _check_accesses(m: Harness, bus: AxiLiteSlave) -> None:
    """Claim that an access is what the request said, and that the response follows one cycle later."""
    for channel, port, used in (("aw", "awaddr", bus.access.write_address), ("w", "wdata", bus.access.write_data),
                                ("w", "wstrb", bus.access.write_strobe), ("ar", "araddr", bus.access.read_address)):
        asked, ready = Signal.like(used, name=f"{port}_asked"), getattr(bus, f"{channel}ready")
        with m.If(getattr(bus, f"{channel}valid") & ready):
            m.d.sync += asked.eq(getattr(bus, port))
        check(m, ready | (used == asked), f"the access has the request's {port}")
    wrote, got = past(m, bus.access.write, cleared=True), past(m, bus.access.read, cleared=True)
    check(m, ~wrote | (bus.bvalid & (bus.bresp == Mux(past(m, bus.access.write_error), SLVERR, OKAY))),
          "a write is answered")
    error = past(m, bus.access.read_error)
    check(m, ~got | (bus.rvalid & (bus.rresp == Mux(error, SLVERR, OKAY))
                     & (bus.rdata == Mux(error, 0, past(m, bus.access.read_data)))), "a read is answered")
    check(m, bus.access.write == (~bus.awready & ~bus.wready & (~bus.bvalid | bus.bready)),
          "a complete write does not wait")
    check(m, bus.access.read == (~bus.arready & (~bus.rvalid | bus.rready)), "a read does not wait")


def stream_guard(width: int) -> Harness:
    """Results stay offered until they are taken, and packets are ended, also when the core is stopped in their midst.

    Until it is stopped the core keeps the stream's rules; then it does what it likes, until a reset after which it
    offers nothing.
    """
    m = after_reset()
    m.submodules.dut = dut = StreamGuard(width)
    drive_freely(m, dut, "stopped")
    stopped, clear, packet = Signal(), free(m, 1, "clear"), Signal()
    m.d.comb += dut.stopped.eq(stopped)
    m.d.sync += stopped.eq(dut.stop | (stopped & ~clear))
    assume(m, ~dut.stop | ~stopped)
    assume(m, ~past(m, stopped & clear, cleared=True) | ~dut.i.valid)
    waits = past(m, dut.i.valid & ~dut.i.ready & ~dut.stop & ~stopped, cleared=True)
    beat = Cat(dut.i.payload.data, dut.i.payload.last)
    assume(m, ~waits | (dut.i.valid & (beat == past(m, beat))))
    kept = Signal()
    with m.If(dut.o.valid & dut.o.ready):
        m.d.sync += [packet.eq(~dut.o.payload.last), kept.eq(0)]
    with m.If(dut.stop & ~dut.cut):
        m.d.sync += kept.eq(dut.o.valid & ~dut.o.ready)
    check(m, _stays(m, dut.o.valid, dut.o.ready, dut.o.payload.data, dut.o.payload.last),
          "an offer stays until it is taken")
    check(m, ~dut.cut | kept | (dut.o.payload.last & (dut.o.payload.data == 0)),
          "the beat that ends a cut packet holds zeros")
    check(m, probe(m, "dut.open_packet", 1) == packet, "the guard knows whether a packet is open")
    check(m, ~stopped | dut.cut | ~packet, "after a stop no packet is left open")
    check(m, ~(dut.i.valid & dut.i.ready) | (dut.o.valid & dut.o.ready & (dut.o.payload.data == dut.i.payload.data)),
          "what is taken from the core is passed")
    return m


def store_stream(machine: Machine) -> Harness:
    """What the Store engine offers stays until it is taken; its table, the banks and the reader are arbitrary."""
    m = after_reset()
    m.submodules.dut = dut = StoreDma(Geometry(machine))
    drive_freely(m, dut)
    check(m, _stays(m, dut.o.valid, dut.o.ready, dut.o.payload.data, dut.o.payload.last),
          "an offer stays until it is taken")
    return m


def word_buffer(width: int) -> Harness:
    """Words leave in the order in which they arrived, each once and unchanged, and what arrives finds a place.

    Words are read only while there is room, arrive one cycle later and leave when they like. One of them, whichever,
    is followed through the buffer.
    """
    m = after_reset()
    m.submodules.dut = dut = WordBuffer(width)
    drive_freely(m, dut, "arrives")
    assume(m, ~dut.reads | dut.room)
    assume(m, ~dut.take | dut.valid)
    m.d.sync += dut.arrives.eq(dut.reads)
    places, filled = probe(m, "dut.free", range(PLACES + 1)), probe(m, "dut.filled", PLACES)
    count = sum((filled[place] for place in range(PLACES)), Const(0, 1))
    check(m, places + dut.arrives + count == PLACES, "a place is free, promised or filled")
    check(m, dut.room == (places != 0), "words may be read while a place is free")
    check(m, (filled & (filled + 1)) == 0, "places fill up from the first one")
    check(m, dut.valid == filled[0], "words are offered as long as there are any")
    followed, ahead, words = Signal(), Signal(range(PLACES)), Signal(dut.layout, reset_less=True)
    arrives = dut.arrives & free(m, 1, "picked") & ~followed
    with m.If(arrives):
        m.d.sync += [followed.eq(1), ahead.eq(count - dut.take), words.eq(dut.arriving)]
    with m.Elif(dut.take):
        m.d.sync += [followed.eq(followed & (ahead != 0)), ahead.eq(ahead - 1)]
    check(m, ~followed | (ahead < PLACES), "words have at most all others ahead of them")
    for place in range(PLACES):
        held = probe(m, f"dut.held_{place}", dut.layout)
        check(m, ~followed | (ahead != place) | (filled[place] & (Value.cast(held) == Value.cast(words))),
              f"words with {place} ahead of them are kept")
    check(m, ~followed | (ahead != 0) | (Value.cast(dut.first) == Value.cast(words)), "the first words are shown")
    follows(m, dut.valid, count + dut.arrives > dut.take, "words are shown in the cycle after they arrive")
    reach(m, {"WordBuffer.free": (places, PLACES)})
    return m


def store_order(machine: Machine) -> Harness:
    """A Store sends a word of every bank, then the next address, fills up its last beat with zeros and marks it.

    Items of one to three addresses follow one another; the reader stalls as it likes. A word of a bank shows its bank
    and its address.
    """
    m, geometry, bits = after_reset(), Geometry(machine), machine.stream_bits
    m.submodules.dut = dut = StoreDma(geometry)
    item = dut.queue.current
    drive_freely(m, dut, "bank.data", "prepare")
    since = Signal(3)
    m.d.sync += since.eq(since + (since < 4))
    m.d.comb += dut.prepare.eq(since == 0)
    assume(m, ~dut.enable | (since == 4))
    assume(m, ~item.valid | ((item.first <= item.last) & (item.last - item.first < 3)))
    lanes, columns, beat = geometry.lanes, geometry.columns, Signal(8)
    for c in range(columns):
        with m.If(dut.bank.read[c]):
            m.d.sync += dut.bank.data[c].eq(_shown(c, dut.bank.address[c], lanes))
    taken = dut.o.valid & dut.o.ready
    with m.If(taken):
        m.d.sync += beat.eq(Mux(dut.o.payload.last, 0, beat + 1))
    expected, last = Signal(bits), Signal()
    sent = Cat(Mux(address <= item.last - item.first, _shown(c, item.first + address, lanes), 0)
               for address in range(4) for c in range(columns))
    m.d.comb += [expected.eq(sent.word_select(beat, bits)),
                 last.eq((beat + 1) * bits >= (item.last - item.first + 1) * (columns * lanes))]
    check(m, ~dut.o.valid | (dut.o.payload.data == expected), "words come in order")
    check(m, ~dut.o.valid | (dut.o.payload.last == last), "the last beat, and no other, is marked")
    check(m, dut.stored == (taken & dut.o.payload.last), "a Store has ended with its last beat")
    return m


def _shown(c: int, address: Value, lanes: int) -> Value:
    """Return a word that shows where it lies."""
    return Cat(Const(c + 1, 3), address)[:lanes]
