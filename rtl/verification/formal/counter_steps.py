"""Counters of the engines and of control at full width: what follows a state, whatever the state is."""

from __future__ import annotations

from amaranth.hdl import Cat, Mux, Signal, Value

from rtl.core.addressing.bank_interleave import BankInterleaver
from rtl.core.control.counter_names import COUNTERS
from rtl.core.control.dispatcher import Dispatcher
from rtl.core.control.perf_counters import PerfCounters
from rtl.core.dma.descriptor_queue import DescriptorQueue
from rtl.core.dma.load_dma import LoadDma
from rtl.core.dma.store_dma import StoreDma
from rtl.encoding.geometry import Geometry
from rtl.encoding.program_image import HEADER, TABLES, tables
from rtl.shell.csr_file import PLAIN, CsrFile, port_name
from rtl.shell.program_loader import Phase, ProgramLoader
from rtl.shell.watchdog import Watchdog
from rtl.verification.formal.harness import (
    Harness,
    after_reset,
    assume,
    check,
    constant,
    follows,
    largest,
    odometer,
    past,
    place,
    probe,
    reach,
)
from sim.arch.limits import LIMITS
from sim.arch.machine import Machine
from sim.hardware.dimensions import PARAMETER_SLOTS

__all__ = ["bank_interleaver", "counters", "csr_file", "descriptor_queue", "dispatcher", "load_dma", "program_loader",
           "store_beats", "watchdog"]


def load_dma(machine: Machine) -> Harness:
    """Beats of a word, words of the rows, words of a packet or of the weights, groups and row tiles follow one another.

    A row tile has its packets first, group after group, and then its weights, if it has any. Words of a table are
    counted on their own.
    """
    m, geometry = after_reset(), Geometry(machine)
    dut = LoadDma(geometry)
    place(m, dut)
    item, beat = dut.queue.current, dut.i.valid & dut.i.ready
    turns = geometry.rows // dut.per_beat
    part, turn, group, tiles = (probe(m, f"dut.{name}", bits) for name, bits in (
        ("part", range(dut.beats_per_word)), ("turn", range(turns)), ("group", max(1, geometry.channel_group_bits)),
        ("tiles", LIMITS.tile_bits)))
    never = Signal(name="never")
    whole = odometer(m, beat, (("beats", part, dut.beats_per_word - 1),), never)
    word_end = odometer(m, whole & ~(item.load | item.table), (("rows", turn, turns - 1),), never)
    weights_end, packet_end = dut.word + 1 == item.words, dut.word == geometry.packet - 1
    groups_end = packet_end & (group == item.tile_channel_groups)
    last = word_end & Mux(dut.to_weights, weights_end, groups_end & (item.words == 0))
    ends = Mux(dut.to_weights, weights_end, packet_end)
    follows(m, dut.word, Mux(word_end, Mux(ends, 0, dut.word + 1), dut.word), "words count")
    next_group = Mux(group == item.tile_channel_groups, 0, group + 1)
    follows(m, group, Mux(last, 0, Mux(word_end & ~dut.to_weights & packet_end, next_group, group)), "groups count")
    follows(m, dut.to_weights, Mux(word_end, Mux(dut.to_weights, ~weights_end, groups_end & (item.words != 0)),
                                   dut.to_weights), "weights come behind all packets")
    check(m, dut.slot_filled == last, "a row tile is filled with its last word")
    odometer(m, last, (("row tiles", tiles, item.tiles),), never)
    _items(m, dut, beat, last)
    _tables(m, dut, whole & item.table & ~item.load)
    reach(m, {
        "LoadDma.part": (part, dut.beats_per_word - 1), "LoadDma.turn": (turn, turns - 1),
        "LoadDma.word": (dut.word, machine.weight_words - 1), "inward.words": (item.words, machine.weight_words),
        "LoadDma.group": (group, geometry.tile_channel_groups - 1),
        "inward.tile_channel_groups": (item.tile_channel_groups, geometry.tile_channel_groups - 1),
        "LoadDma.tiles": (tiles, largest(LIMITS.tile_bits)), "inward.tiles": (item.tiles, largest(LIMITS.tile_bits)),
    })
    return m


def _tables(m: Harness, dut: LoadDma, whole: Value) -> None:
    """Claim that the words of a table follow one another, and tables go into the two slots by turns."""
    item, bits = dut.queue.current, dut.geometry.table_address_bits
    ends = whole & (dut.lookup_word == item.table_words)
    check(m, dut.lookup_write == whole, "a word of a table is written when it is whole")
    follows(m, dut.lookup_word, Mux(ends, 0, dut.lookup_word + whole), "words of a table count")
    follows(m, dut.lookup_slot, dut.lookup_slot ^ ends, "tables alternate between slots")
    reach(m, {"LoadDma.lookup_word": (dut.lookup_word, largest(bits)),
              "inward.table_words": (item.table_words, largest(bits))})


def _items(m: Harness, dut: LoadDma, beat: Value, last: Value) -> None:
    """Claim that a row tile takes a free weight slot, and that an item waits for the ops before it."""
    item = dut.queue.current
    free, open_tile, slot = (probe(m, f"dut.{name}", bits) for name, bits in (
        ("free", 2), ("open_tile", 1), ("tile_slot", 2)))
    other = item.load | item.table
    follows(m, free, free + dut.slot_free - (beat & ~other & ~open_tile), "free weight slots count")
    follows(m, slot, slot + last, "slots of parameters follow one another")
    came = (dut.computes >= item.after_computes) & (dut.stores >= item.after_stores)
    may = dut.enable & item.valid & Mux(other, came, open_tile | (free != 0))
    check(m, dut.i.ready == may, "a beat is taken as soon as all has ended that it waits for")
    check(m, dut.illegal.op == item.op, "the op at hand is known")
    ops = dut.geometry.limits.max_ops
    reach(m, {
        "LoadDma.free": (free, 2), "LoadDma.tile_slot": (slot, PARAMETER_SLOTS - 1),
        "inward.after_computes": (item.after_computes, ops), "inward.after_stores": (item.after_stores, ops),
        "inward.op": (item.op, 3 * ops - 1),
    })


def bank_interleaver(machine: Machine, per_step: int) -> Harness:
    """A step moves on by `per_step` words, a word of every bank before the next address, and starts over at the end."""
    m, geometry = after_reset(), Geometry(machine)
    dut, columns, address = BankInterleaver(geometry, per_step), geometry.columns, geometry.address_bits
    place(m, dut, "first", "last")
    m.d.comb += [dut.first.eq(constant(m, address, "at_first")), dut.last.eq(constant(m, address, "at_last"))]
    offset, after, here = probe(m, "dut.offset", address), Signal(range(2 * columns)), Signal(address)
    m.d.comb += [after.eq(dut.bank + per_step), here.eq(dut.first + offset)]
    end = (here == dut.last) & (after >= columns)
    check(m, dut.bank < columns, "the bank exists")
    follows(m, dut.bank, Mux(dut.step, Mux(end, 0, after % columns), dut.bank), "banks follow one another")
    follows(m, offset, Mux(dut.step, Mux(end, 0, offset + after // columns), offset), "addresses count")
    check(m, dut.end == end, "the end is known")
    for c in range(columns):
        ahead = Signal(range(2 * columns), name=f"ahead_{c}")
        m.d.comb += ahead.eq(Mux(dut.bank <= c, c - dut.bank, c + columns - dut.bank))
        wraps = dut.bank > c
        check(m, dut.select[c] == (dut.step & (ahead < per_step) & ~(wraps & (here == dut.last))),
              f"bank {c} is touched by the words that exist")
        check(m, ~dut.select[c] | (dut.address[c] == (here + wraps)[:address]), f"bank {c} is touched at the address")
    reach(m, {"BankInterleaver.offset": (offset, largest(address)), "BankInterleaver.bank": (dut.bank, columns - 1),
              **{f"{table}.{end}": (getattr(dut, end), largest(address))
                 for table in ("inward", "outward") for end in ("first", "last")}})
    return m


def store_beats(machine: Machine) -> Harness:
    """A word's beats are sent lowest first, all of them; the last one of the last words, and no other, is marked."""
    m, geometry = after_reset(), Geometry(machine)
    dut, bits = StoreDma(geometry), machine.stream_bits
    place(m, dut)
    columns, lanes, buffer = geometry.columns, geometry.lanes, dut.buffer
    part, origin, ends = (probe(m, f"dut.{name}", bits_) for name, bits_ in (
        ("part", range(dut.beats_per_word)), ("origin", geometry.column_bits), ("ends", 1)))
    assume(m, origin < columns)
    taken, last_part = dut.o.valid & dut.o.ready, part == dut.beats_per_word - 1
    odometer(m, taken, (("beats", part, dut.beats_per_word - 1),), Signal(name="never"))
    words = Signal(dut.per_beat * lanes, name="sent")
    with m.Switch(origin):
        for first in range(columns):
            with m.Case(first):
                m.d.comb += words.eq(Cat(Mux(ends & (first + w >= columns), 0, dut.bank.data[(first + w) % columns])
                                         for w in range(dut.per_beat)))
    check(m, (buffer.arriving.words == words) & (buffer.arriving.ends == ends), "words come in order")
    check(m, (dut.o.valid == buffer.valid) & (buffer.take == (taken & last_part)), "words stay until they are sent")
    check(m, dut.o.payload.data == buffer.first.words.word_select(part, bits), "beats are sent lowest first")
    check(m, dut.o.payload.last == (buffer.first.ends & last_part), "the last beat is marked")
    check(m, dut.stored == (taken & dut.o.payload.last), "a Store has ended with its last beat")
    item, step, ops = dut.queue.current, probe(m, "dut.agu.step", 1), geometry.limits.max_ops
    may = item.valid & dut.enable & (dut.computes >= item.after_computes) & ~probe(m, "dut.requested", 1)
    follows(m, buffer.arrives, step, "words arrive in the cycle after they were read")
    check(m, step == (may & buffer.room), "words are read as soon as all has ended that they wait for")
    check(m, dut.illegal.op == item.op, "the op at hand is known")
    reach(m, {"StoreDma.part": (part, dut.beats_per_word - 1),
              "outward.after_computes": (item.after_computes, ops),
              "outward.op": (item.op, 3 * ops - 1)})
    return m


def dispatcher(machine: Machine) -> Harness:
    """Ended ops, the op that is shown and the cycles of a run count; an op waits for those before it."""
    m, geometry = after_reset(), Geometry(machine)
    dut = Dispatcher(geometry)
    place(m, dut)
    shown = probe(m, "dut.shown", (geometry.limits.max_ops - 1).bit_length())
    reads, waiting = probe(m, "dut.memory.ren", 1), probe(m, "dut.waiting", 1)
    at = probe(m, "dut.memory.raddr", (geometry.limits.max_ops - 1).bit_length())
    for name, done in (("computes", dut.op_done), ("loads", dut.load_done), ("stores", dut.store_done)):
        count = getattr(dut, name)
        follows(m, count, Mux(dut.prepare, 0, count + done), f"{name} count")
    follows(m, shown, Mux(reads, at, shown), "the op that is shown is the one that was read")
    check(m, ~reads | (at == Mux(dut.prepare, 0, (shown + 1)[: len(shown)])), "ops are read in order")
    follows(m, dut.cycle, Mux(dut.started, 0, dut.cycle + (probe(m, "dut.fsm_state", 2) == 3)), "cycles count")
    free = dut.started | (dut.busy & (~dut.active | dut.op_done))
    came = (dut.loads >= dut.head.after_loads) & (dut.stores >= dut.head.after_stores)
    check(m, dut.begin == (waiting & ~dut.halt & free & came), "an op begins when all has ended that it waits for")
    ops = geometry.limits.max_ops
    reach(m, {
        "Dispatcher.shown": (shown, ops - 1), "Dispatcher.cycle": (dut.cycle, largest(LIMITS.counter_bits)),
        **{f"Dispatcher.{name}": (getattr(dut, name), ops) for name in ("computes", "loads", "stores")},
        "compute.after_loads": (dut.head.after_loads, ops),
        "compute.after_stores": (dut.head.after_stores, ops),
    })
    return m


def program_loader(machine: Machine) -> Harness:
    """Beats of a word and words of a table follow one another, table after table, as many as the header says."""
    m, geometry = after_reset(), Geometry(machine)
    dut = ProgramLoader(geometry)
    place(m, dut)
    beats = {phase: -(-size // dut.width) for phase, size in dut.sizes.items()}
    phase, part = probe(m, "dut._phase", range(len(Phase))), probe(m, "dut.part", range(max(beats.values()) + 1))
    counts = {name: probe(m, f"dut.{name}_words", 16) for name in TABLES}
    beat, last_part = dut.active & dut.valid, Signal.like(part, name="last_part")
    in_table = {name: phase == Phase[name.upper()] for name in TABLES}
    for kind, count in beats.items():
        with m.If(phase == kind):
            m.d.comb += last_part.eq(count - 1)
    assume(m, phase <= max(Phase))
    word_end = beat & (part == last_part)
    follows(m, part, Mux(~dut.active | word_end, 0, part + beat), "beats of a word count")
    count = Mux(in_table["compute"], counts["compute"], Mux(in_table["inward"], counts["inward"], counts["outward"]))
    tabled, table_ends = Cat(in_table.values()).any(), dut.index + 1 == count
    starts = (phase == Phase.HEADER) & word_end
    follows(m, dut.index, Mux(starts | (tabled & word_end & table_ends), 0, dut.index + (tabled & word_end)),
            "words of a table count")
    follows(m, phase, Mux(dut.failed, Phase.IDLE, Mux(
        (phase == Phase.IDLE) & dut.start, Phase.HEADER, Mux((phase == Phase.CHECKSUM) & word_end, Phase.IDLE, phase + (
            starts | (tabled & word_end & table_ends))))), "tables follow one another")
    header = HEADER(dut.word[: HEADER.size])
    for table in tables(geometry):
        name = table.name
        check(m, getattr(dut, f"write_{name}") == (in_table[name] & word_end), f"a word of '{name}' is written whole")
        check(m, ~starts | dut.failed | (header[name] != 0) & (header[name] <= table.depth), f"{name}: words fit")
        follows(m, counts[name], Mux(starts, header[name], counts[name]), f"{name}: as many words as the header says")
    check(m, ~dut.done | ((phase == Phase.CHECKSUM) & word_end & dut.last), "an image ends with its checksum")
    reach(m, {
        "ProgramLoader.part": (part, beats[Phase.COMPUTE] - 1),
        "ProgramLoader.index": (dut.index, geometry.limits.max_ops - 1),
        "ProgramLoader.compute_words": (counts["compute"], geometry.limits.max_ops),
        "ProgramLoader.inward_words": (counts["inward"], geometry.inward_entries),
        "ProgramLoader.outward_words": (counts["outward"], geometry.outward_entries),
        "ProgramLoader._phase": (phase, Phase.COMPUTE),
    })
    return m


def counters(machine: Machine) -> Harness:
    """While a program runs every counter grows by what its name says, to its full width; a start clears all.

    It grows in the cycle after.
    """
    m, geometry = after_reset(), Geometry(machine)
    dut = PerfCounters(geometry)
    place(m, dut)
    waits = {name: probe(m, f"dut.waits_for_{name}", 1) for name in ("accumulator", "weights")}
    for name, wait in waits.items():
        follows(m, wait, getattr(dut, f"wait_{name}"), f"a wait for {name} is seen a cycle later")
    counts, grown = {}, _increments(dut, geometry, waits)
    for name in COUNTERS:
        counts[name] = probe(m, f"dut.{name}_count", LIMITS.counter_bits)
        seen = past(m, Mux(dut.enable, grown[name], 0), cleared=True)
        follows(m, counts[name], Mux(dut.clear, 0, counts[name] + seen), f"{name} counts")
        check(m, (dut.number != COUNTERS.index(name)) | (dut.value == counts[name]), f"{name} is shown")
    reach(m, {f"PerfCounters.{name}_count": (count, largest(LIMITS.counter_bits)) for name, count in counts.items()})
    reach(m, {"limits.counter_bits": (counts["pairs"], largest(LIMITS.counter_bits)),
              "compute.segment_log2": (dut.segment_log2, geometry.lane_bits)})
    return m


def _ones(bits: Value) -> Value:
    return sum(bits[i] for i in range(len(bits)))


def _increments(dut: PerfCounters, geometry: Geometry, waits: dict[str, Value]) -> dict[str, Value]:
    """Return what each counter counts in a cycle."""
    def elements(pair: Value) -> Value:
        return sum(Mux(pair.valid & column, _ones(Cat(pair.rows, pair.reference)), 0) for column in pair.step.columns)

    def crossed(rows: Value, columns: Value) -> Value:
        return sum(Mux(column, _ones(rows), 0) for column in columns)

    select, added, wide = dut.select, elements(dut.add), Mux(dut.accumulate.last, elements(dut.accumulate), 0)
    drained = crossed(Cat(dut.drain, dut.drain_reference), dut.drain_columns)
    words = Mux(select.valid, _ones(Cat(select.rows, select.reference)) + _ones(select.step.columns), 0)
    lane_bits = geometry.depthwise_lanes * (
        _ones(dut.depthwise_added) + Mux(dut.depthwise_active, 2 * geometry.product_bits, 0))
    return {
        "pairs": select.valid | dut.depthwise_active, "wait_accumulator": waits["accumulator"],
        "wait_weights": waits["weights"], "wait_transfers": ~dut.active, "starved": dut.in_ready & ~dut.in_valid,
        "blocked": dut.out_valid & ~dut.out_ready, "pair_elements": elements(select), "narrow_adds": added,
        "lane_steps": _ones(dut.depthwise_added), "wide_adds": wide, "acc_writes": wide,
        "acc_reads": Mux(dut.add.last & ~dut.add.step.fresh, added, 0) + drained,
        "requant_terms": crossed(dut.execute, dut.execute_columns),
        "table_reads": crossed(dut.table_read, dut.table_read_columns),
        "table_writes": Mux(dut.table_write, geometry.units * geometry.columns, 0),
        "act_reads": _ones(Cat(dut.operand_read, dut.residual_read, dut.store_read)),
        "act_writes": _ones(Cat(dut.write, dut.load_write)), "weight_reads": _ones(dut.weight_read),
        "weight_writes": _ones(dut.weight_write),
        "operand_bits": (words + _ones(dut.w_operands)) * geometry.lanes
        + (_ones(dut.a_operands) << dut.segment_log2) + lane_bits,
        "stream_in_beats": dut.in_valid & dut.in_ready, "stream_out_beats": dut.out_valid & dut.out_ready,
    }


def watchdog() -> Harness:
    """So many cycles in a row are counted as the 32 bits of the limit can say, and no other."""
    m = after_reset()
    dut = Watchdog()
    place(m, dut)
    quiet = probe(m, "dut.quiet", 32)
    follows(m, quiet, Mux(dut.enable & ~dut.moved, quiet + 1, 0), "quiet cycles count")
    check(m, dut.expired == (dut.enable & (dut.limit != 0) & (dut.limit <= quiet)), "the limit counts")
    reach(m, {"Watchdog.quiet": (quiet, largest(32)), "TIMEOUT.cycles": (dut.limit, largest(32))})
    return m


def descriptor_queue(machine: Machine) -> Harness:
    """Entries of a table are read in order, one ahead of the one at hand; the longest table is that of inward items."""
    m, geometry = after_reset(), Geometry(machine)
    dut = DescriptorQueue(geometry.inward, geometry.inward_entries)
    place(m, dut)
    bits = (geometry.inward_entries - 1).bit_length()
    shown, reads, loading = probe(m, "dut.shown", bits), probe(m, "dut.memory.ren", 1), probe(m, "dut.loading", 1)
    at, word = probe(m, "dut.memory.raddr", bits), probe(m, "dut.memory.rdata", geometry.inward.size)
    follows(m, shown, Mux(reads, Mux(dut.prepare, 0, shown + 1), shown), "entries count")
    check(m, reads == (dut.prepare | loading | dut.take), "an entry is read when the one before is taken")
    check(m, ~reads | (at == Mux(dut.prepare, 0, shown + 1)[:bits]), "entries are read in order")
    current = dut.current.as_value()
    follows(m, current, Mux(dut.take | loading, word, current), "the entry that was read ahead follows")
    reach(m, {"DescriptorQueue.shown": (shown, geometry.inward_entries - 1)})
    return m


def csr_file() -> Harness:
    """A register reads as what its fields are; a writable field takes what is written under the strobes."""
    m = after_reset()
    dut = CsrFile()
    place(m, dut)
    ends: dict[str, tuple[Value, int]] = {}
    mask = Cat(strobe.replicate(8) for strobe in dut.access.write_strobe)
    for register in PLAIN:
        for field in register.fields:
            port, bits = getattr(dut, port_name(register, field)), slice(field.low, field.low + field.width)
            asked = dut.access.read_address == register.offset
            if register.access in ("read", "read-write"):
                check(m, ~asked | (dut.access.read_data[bits] == port), f"{register.name} shows {field.name}")
            if register.access == "read-write":
                written = dut.access.write & (dut.access.write_address == register.offset)
                new = (dut.access.write_data & mask)[bits] | (port & ~mask[bits])
                follows(m, port, Mux(written, new, port), f"{register.name} takes {field.name}")
            if field.width > 1:
                ends[f"{register.name}.{field.name}"] = (port, largest(field.width))
    reach(m, ends)
    return m
