"""All proofs, in the order of the data's way through the machine."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from rtl.verification.fault import Fault
from rtl.verification.formal import (
    addressing,
    agu_steps,
    buses,
    counter_steps,
    datapath_steps,
    memories,
    pe,
    requantizer,
    sequencer,
    transfers,
)
from rtl.verification.formal.proof import Proof
from sim.arch.machine import Machine, load_machine
from sim.ir.formats import Rounding

__all__ = ["PROOFS"]

TINY, EDGE = load_machine("tiny"), load_machine("edge")


SHALLOW = Machine(**TINY.model_dump() | {"name": "shallow", "act_regions": 4, "region_words": 4})
"""Few address bits: their adders, which wrap at any width alike, are what a solver finds hardest here."""
CONTROL = Machine(**TINY.model_dump() | {
    "name": "control", "rows": 2, "columns": 2, "lanes": 4, "requantizers": 1, "stream_bits": 4, "acc_depth": 2,
    "act_regions": 4, "region_words": 4, "table_bits": 0})
"""Little data, so that the solver has only control to think of."""


LANES = Machine(**TINY.model_dump() | {
    "name": "lanes", "lanes": 16, "depthwise_lanes": 16, "max_bits_w": 4, "acc_bits": 32, "acc_depth": 16,
    "stream_bits": 2})
"""Four channel groups, eight beats a word, codes of up to 32 bits."""


THIN = Machine(**TINY.model_dump() | {"name": "thin", "lanes": 128, "stream_bits": 4})
"""As many beats a word as a machine can have: 32."""


def columns_of(columns: int) -> Machine:
    """Return `tiny` with so many columns."""
    return Machine(**TINY.model_dump() | {"name": "columns", "columns": columns})


def with_beats(bits: int) -> Machine:
    """Return `tiny` with streams of so many bits per cycle."""
    return Machine(**TINY.model_dump() | {"name": "beats", "stream_bits": bits})


def narrow(bits_w: int, bits_a: int) -> Machine:
    """Return a machine with a single element of four lanes for codes of few bits."""
    return Machine(**TINY.model_dump() | {
        "name": "narrow", "rows": 1, "columns": 1, "lanes": 4, "requantizers": 1, "stream_bits": 4, "acc_depth": 1,
        "max_bits_w": bits_w, "max_bits_a": bits_a, "table_bits": 0})


def requantizer_proofs(machine: Machine) -> Iterator[Proof]:
    """Yield the proofs of the requantizer of `machine`, in full width."""
    sizes = f"{machine.name}: {machine.acc_bits} + {machine.window} + 2 bits, {machine.terms} + {machine.terms} digits"
    nightly = machine is not TINY
    for name, harness, faults in (("terms", requantizer.terms, TERM_FAULTS),
                                  ("products", requantizer.products, PRODUCT_FAULTS),
                                  ("sums", requantizer.sums, SUM_FAULTS)):
        yield Proof(f"requantizer, {name}, {machine.name}", sizes, partial(harness, machine), 1, faults, induction=1,
                    nightly=nightly)
    for rounding in machine.roundings:
        yield Proof(f"requantizer, codes, {rounding}, {machine.name}", sizes,
                    partial(requantizer.codes, machine, rounding), 4, CODE_FAULTS[rounding], nightly=nightly)


PE_FAULTS = (
    Fault("pe", "m.d.comb += total.eq(level[i] + level[i + 1])", "m.d.comb += total.eq(level[i] | level[i + 1])"),
    Fault("pe", "Mux(self.negative, base - ones, base + ones)", "base + ones"),
    Fault("pe", "Mux(self.fresh, 0, old)", "old"),
)
PLANE_FAULTS = (
    Fault("pe", "Mux(self.double, partial << 1, partial)", "partial"),
    Fault("plane_sequencer", "(w == 0) & (a == 0)", "(w == 0) & (a <= 1)"),
    Fault("plane_sequencer", "(d.signed_w & (w == d.bits_w)) ^", "(d.signed_w & (w == d.bits_w)) |"),
    Fault("plane_sequencer", "with m.If((w == 0) | (a == d.bits_a))", "with m.If(w == 0)"),
)
WIDTH_FAULT = Fault("dimensions", "partial_sum_bits(self.machine)",
                    "partial_sum_bits(self.machine, unsigned_weights=False)")

SUM_FAULTS = (
    Fault("requantizer", "summed = Signal(wide)", "summed = Signal(signed(wide.width - 1))"),
    Fault("requantizer", "Mux(term.negative, before - shifted, before + shifted)", "before + shifted"),
    Fault("requantizer", "Mux(term.first, term.start, total)", "total"),
)
PRODUCT_FAULTS = (
    Fault("requantizer", "(self.acc << 1) - self.reference", "self.acc << 1"),
    Fault("requantizer", "Mux(term.present & there, operand << term.exponent, 0)", "operand << term.exponent"),
    Fault("requantizer", "there.eq(~choice.gated | self.residual.bit_select(choice.plane, 1))", "there.eq(1)"),
    Fault("requantizer", "Mux(choice.residual, self.residual, acc)", "acc"),
)
TERM_FAULTS = (
    Fault("requantizer", "(1 << packet.shift) >> 1", "1 << packet.shift"),
    Fault("requantizer", "term.negative.eq(digit.negative)", "term.negative.eq(digit.present)"),
    Fault("requantizer", "self.index == self.negative_plane", "self.negative_plane[3]"),
)
CODE_FAULTS: dict[Rounding, tuple[Fault, ...]] = {
    "half_up": (Fault("requantizer", "Mux(moved < self.low, self.low, ", "Mux(0, self.low, "),
                Fault("requantizer", "Cat(up, self.zero_out)", "Cat(up, 0)")),
    "half_even": (Fault("requantizer", "(~tie | shifted[0])", "1"),
                  Fault("requantizer", "(total & (half - 1)) == 0", "(total & half) == 0"),
                  Fault("requantizer", "half.eq((1 << shift) >> 1)", "half.eq(1 << shift)")),
    "floor": (Fault("requantizer", "(self.rounding == HALF_EVEN) & (total & half).any()", "(total & half).any()"),),
}

STORE_FAULTS = (
    Fault("store_dma", "sent.eq(buffer.valid & self.o.ready)", "sent.eq(buffer.valid)"),
    Fault("word_buffer", "with m.Elif(self.take & ~self.arrives):", "with m.Elif(~self.arrives):"),
)
BUFFER_FAULTS = (
    Fault("word_buffer", "filled[place] & ~after[place]", "filled[place]"),
    Fault("word_buffer", "with m.Elif(self.take & after[place]):", "with m.Elif(after[place]):"),
    Fault("word_buffer", "free + self.take - self.reads", "free - self.reads"),
    Fault("word_buffer", "self.room.eq(free_after != 0)", "self.room.eq(free != 0)"),
)
ORDER_FAULTS = (
    Fault("bank_interleave", "at_last.eq(here == self.last)", "at_last.eq(here == self.last + 1)"),
    Fault("store_dma", "Mux(ends, 0, self.bank.data[word - columns])", "self.bank.data[word - columns]"),
)
LITE_FAULTS = (
    Fault("axi_lite", "addressed & filled & (~self.bvalid | self.bready)", "addressed & filled"),
    Fault("axi_lite", "self.awready.eq(~addressed)", "self.awready.eq(1)"),
    Fault("axi_lite", "addressed & (~self.rvalid | self.rready)", "addressed"),
    Fault("axi_lite", "self.rresp.eq(Mux(self.access.read_error, SLVERR, OKAY))", "self.rresp.eq(OKAY)"),
)
GUARD_FAULTS = (
    Fault("stream_guard", "with m.If(self.o.valid & ~self.o.ready):", "with m.If(0):"),
    Fault("stream_guard", "| (~self.o.valid & open_packet)", ""),
    Fault("stream_guard", "self.cut.eq(~last), data.eq(0)", "self.cut.eq(0), data.eq(0)"),
    Fault("stream_guard", "self.cut.eq(~last), data.eq(0)", "self.cut.eq(~last)"),
    Fault("stream_guard", "self.cut.eq(1), data.eq(0)", "self.cut.eq(1)"),
)
TAP_FAULTS = (
    Fault("window_agu", "wrapped.eq(bank >= columns)", "wrapped.eq(bank > columns)"),
    Fault("window_agu", "current.column + d.dilation", "current.column + 1"),
    Fault("window_agu", "+ Mux(wrapped, d.pitch, 0)", ""),
    Fault("window_agu", "current.row[c] + d.tap_rows", "current.row[c] + d.dilation"),
)
PIXEL_FAULTS = (
    Fault("window_agu", "current.address + d.pixel_step", "current.address + d.pixel_step + 1"),
    Fault("window_agu", "current.row + d.row_group_rows", "current.row + d.stride"),
)
FETCH_FAULTS = (
    Fault("operand_fetch", "& (d.phase[c] == self.phase)", ""),
    Fault("operand_fetch", "(column >= 0) & (column < d.width)", "(column >= 0) & (column <= d.width)"),
    Fault("operand_fetch", "Mux(loaded.inside[c], word, ", "Mux(1, word, "),
    Fault("operand_fetch", "m.d.comb += quotient.eq(self.tap.quotient[c])",
          "m.d.comb += quotient.eq(self.tap.quotient[0])"),
)
PORT_FAULTS = (
    Fault("activation_memory", "ram.ren.eq(operand | residual | store)", "ram.ren.eq(operand | residual)"),
    Fault("activation_memory", "Mux(load, self.load_data, self.write_data)", "self.write_data"),
    Fault("activation_memory", "(residual, self.residual_address), (store", "(residual, self.operand_address), (store"),
)
BOUND_FAULTS = (
    Fault("bounds_guard", "(address < first) | (address > last)", "(address > last)"),
    Fault("bounds_guard", "Mux(self.halt, 0, self.write_i.write & ~write_outside)",
          "Mux(self.halt, 0, self.write_i.write)"),
)
OUTPUT_FAULTS = (
    Fault("output_agu", "Mux(last_column, self.row_step, self.step)", "self.step"),
    Fault("output_agu", "Mux(last_column, self.row_step, self.step)",
          "Mux(last_column, self.row_step, self.block_step)"),
    Fault("output_agu", "Mux(wraps, block + self.block_step, block)", "block + self.block_step"),
)
SWITCH_FAULTS = (
    Fault("output_packer", "(d.out_phase[c] == phase)", "1"),
    Fault("output_packer", "self.write.address[b].eq(address + quotient)", "self.write.address[b].eq(address)"),
    Fault("output_packer", "shows & (d.out_bank[c] == b)", "shows & (c == b)"),
)
BANK_FAULTS = (
    Fault("bank_interleave", "at_last.eq(here == self.last)", "at_last.eq(here == self.last + 1)"),
    Fault("bank_interleave", "self.step & ~at_last if beyond else self.step", "self.step"),
)
SLOT_FAULTS = (
    Fault("load_dma", "return open_tile | (free != 0)", "return open_tile | (free == free)"),
    Fault("load_dma", "free + self.slot_free - (tile_beat & ~open_tile)", "free + 1 - (tile_beat & ~open_tile)"),
)
OP_FAULTS = (
    Fault("sequencer", "Signal(2, init=2", "Signal(2, init=3"),
    Fault("sequencer", "& (passed == d.bits_a))", "& (passed == 0))"),
    Fault("sequencer", "& bank_ok & weights_ok)", "& bank_ok)"),
    Fault("sequencer", "self.pixel_step.restore.eq(self.block_end)", "self.pixel_step.restore.eq(0)"),
    Fault("sequencer", "self.tap_step.commit.eq(self.group_end)", "self.tap_step.commit.eq(self.block_end)"),
    Fault("sequencer", "free + self.bank_freed - (go & ~bypass)", "free - (go & ~bypass)"),
    Fault("plane_sequencer", "done.valid & done.last & done.step.ends_tile", "done.valid & done.last"),
)
TAP_STEP_FAULTS = (
    Fault("window_agu", "after.tap.eq(current.tap + 1)", "after.tap.eq((current.tap + 1)[:7])"),
    Fault("window_agu", "current.kernel_column + 1", "(current.kernel_column + 1)[:8]"),
    Fault("window_agu", "current.row[c] + d.tap_rows", "current.row[c] + d.tap_rows[:8]"),
)
PIXEL_STEP_FAULTS = (
    Fault("window_agu", "after.group.eq(current.group + 1)", "after.group.eq((current.group + 1)[:8])"),
    Fault("window_agu", "after.x.eq(current.x + 1)", "after.x.eq((current.x + 1)[:10])"),
)
OUTPUT_STEP_FAULTS = (
    Fault("output_agu", "pixel >= d.last_row_group_pixel", "pixel > d.last_row_group_pixel"),
    Fault("output_agu", "last_pixel & last_inner & last_row_tile", "last_pixel & last_row_tile"),
    Fault("output_agu", "self.group.eq(first_group + inner)", "self.group.eq(first_group)"),
    Fault("output_agu", "row_tile.eq(row_tile + 1)", "row_tile.eq((row_tile + 1)[:8])"),
)
SEQUENCER_STEP_FAULTS = (
    Fault("sequencer", "self.channel_block.eq(self.channel_block + 1)",
          "self.channel_block.eq((self.channel_block + 1)[:5])"),
    Fault("sequencer", "part.eq(part + ends)", "part.eq(Mux(part == 2, part, part + ends))"),
    Fault("sequencer", "segment.eq(segment + 1)", "segment.eq((segment + 1)[:7])"),
    Fault("sequencer", "self.row_tile.eq(self.row_tile + 1)", "self.row_tile.eq((self.row_tile + 1)[:6])"),
    Fault("sequencer", "self.cycle.eq(self.cycle + 1)", "self.cycle.eq((self.cycle + 1)[:16])"),
    Fault("sequencer", "(free != 0) | bypass", "(free == 2) | bypass"),
    Fault("sequencer", "carry & ~before & (word != d.last_window)", "carry & ~before"),
    Fault("sequencer", "before.eq(before & ~carry)", "before.eq(0)"),
)
REQUANT_STEP_FAULTS = (
    Fault("requant_sequencer", "row_tile.eq(row_tile + 1)", "row_tile.eq((row_tile + 1)[:6])"),
    Fault("requant_sequencer", "position.eq(position + 1)", "position.eq((position + 1)[:16])"),
    Fault("requant_sequencer", "Mux(last, 0, term + 1)", "Mux(last, 0, (term + 1)[:3])"),
    Fault("requant_sequencer", "Mux(self.descriptor.table, looked_up, after[i])", "looked_up"),
    Fault("requant_sequencer", "gated.eq(term >= gate_from)", "gated.eq(term > gate_from)"),
)
LOAD_STEP_FAULTS = (
    Fault("load_dma", "tiles + 1)", "(tiles + 1)[:9])"),
    Fault("load_dma", "turn.eq(turn + 1)", "turn.eq((turn + 1)[:1])"),
    Fault("load_dma", "last_parameter & (item.words == 0)", "last_parameter"),
    Fault("load_dma", "(self.stores >= item.after_stores)", "(self.stores[:8] >= item.after_stores)"),
    Fault("load_dma", "Mux(end, 0, self.lookup_word + 1)", "Mux(end, 0, (self.lookup_word + 1)[:6])"),
    Fault("load_dma", "Mux(is_tile, self._tile_may", "Mux(~item.load, self._tile_may"),
)
TABLE_FAULTS = (
    Fault("table_memory", "with m.If(self.op_done):", "with m.If(self.op_done | self.write):"),
    Fault("table_memory", "place.eq(index[:within])", "place.eq(index[: within - 1])"),
    Fault("table_memory", "Cat(self.write_word[:words], self.write_slot)", "Cat(self.write_word[:words], 0)"),
)
BANK_STEP_FAULTS = (
    Fault("bank_interleave", "offset.eq(offset + wraps)", "offset.eq((offset + wraps)[:9])"),
    Fault("bank_interleave", "at_last.eq(here == self.last)", "at_last.eq(here == self.last + 1)"),
)
BEAT_FAULTS = (
    Fault("store_dma", "self.o.payload.last.eq(buffer.first.ends & last_part)",
          "self.o.payload.last.eq(buffer.first.ends & (part >= self.beats_per_word - 2))"),
    Fault("store_dma", "part.eq(part + 1)", "part.eq((part + 1)[:2])"),
    Fault("store_dma", "(self.computes >= item.after_computes)", "(self.computes[:8] >= item.after_computes)"),
)
DISPATCHER_FAULTS = (
    Fault("dispatcher", "Mux(self.prepare, 0, count + done)", "Mux(self.prepare, 0, (count + done)[:8])"),
    Fault("dispatcher", "Mux(self.prepare, 0, shown + 1)", "Mux(self.prepare, 0, (shown + 1)[:7])"),
    Fault("dispatcher", "(self.stores >= self.head.after_stores)", "(self.stores[:8] >= self.head.after_stores)"),
)
PROGRAM_FAULTS = (
    Fault("program_loader", "self.index.eq(self.index + 1)", "self.index.eq((self.index + 1)[:8])"),
    Fault("program_loader", "header[table.name] <= table.depth", "header[table.name] <= table.depth + 1"),
)
COUNTER_FAULTS = (
    Fault("perf_counters", "count.eq(count + increment)", "count.eq((count + increment)[:32])"),
    Fault("perf_counters", "Cat(pair.rows, pair.reference)", "pair.rows"),
)
WEIGHT_FAULTS = (
    Fault("weight_memory", "Mux(slot, words, 0)", "Mux(slot, words - 1, 0)"),
    Fault("weight_memory", "Mux(self.request.first, 0, address + 1)", "Mux(self.request.first, 0, (address + 1)[:8])"),
)
CHANNEL_GROUP_FAULTS = (
    Fault("depthwise_lanes", "group.eq(group + 1)", "group.eq((group + 1)[:1])"),
    Fault("depthwise_lanes", "Cat(index, current.address)", "Cat(index, current.address + 1)"),
)


PROOFS = (
    Proof("PE, each stage", "tiny: 8 lanes", lambda: pe.stages(TINY), 1, PE_FAULTS, induction=1),
    Proof("PE, each stage, full size", "edge: 64 lanes", lambda: pe.stages(EDGE), 1, PE_FAULTS[:1],
          induction=1, nightly=True),
    Proof("PE, planes", "tiny: 8 lanes, 8 x 8 bits", lambda: pe.weighted_sum(TINY), 4, PLANE_FAULTS,
          induction=4),
    Proof("PE, planes, full size", "edge: 64 lanes, 8 x 8 bits", lambda: pe.weighted_sum(EDGE), 4,
          PLANE_FAULTS[:1], induction=4, nightly=True),
    Proof("PE, products", "1 lane, 1..4 x 1..4 bits", lambda: pe.products(narrow(4, 4), 1), 23, PLANE_FAULTS[:2]),
    Proof("PE, sums of products", "2 lanes, 1..2 x 1..2 bits", lambda: pe.products(narrow(2, 2), 2), 11,
          PLANE_FAULTS[:1]),
    Proof("PE, sums of products, larger", "4 lanes, 1..2 x 1..2 bits", lambda: pe.products(narrow(2, 2), 4), 11,
          (WIDTH_FAULT,), nightly=True),
    Proof("PE, wider sums of products", "2 lanes, 1..3 x 1..3 bits", lambda: pe.products(narrow(3, 3), 2), 16,
          PLANE_FAULTS[1:2], nightly=True),
    *(proof for machine in (TINY, EDGE) for proof in requantizer_proofs(machine)),
    Proof("tap AGU", "2 x 2 bits of (ky, kx), 3 columns, 4 address bits", partial(addressing.taps, SHALLOW), 1,
          TAP_FAULTS, induction=1, nightly=True),
    Proof("pixel AGU", "2 x 2 bits of (g, x), 4 address bits", partial(addressing.pixels, SHALLOW), 1, PIXEL_FAULTS,
          induction=1),
    Proof("output AGU", "2 bits of (g, x) and row tile, 4 address bits", partial(addressing.outputs, SHALLOW), 4,
          OUTPUT_FAULTS, induction=1),
    Proof("tap AGU, each step", "lanes: full width, 3 columns", partial(agu_steps.taps, LANES), 1, TAP_STEP_FAULTS,
          induction=1),
    Proof("tap AGU, each step, edge", "edge: full width, 7 columns", partial(agu_steps.taps, EDGE), 1,
          TAP_STEP_FAULTS[:1], induction=1, nightly=True),
    Proof("pixel AGU, each step", "lanes: full width", partial(agu_steps.pixels, LANES), 1, PIXEL_STEP_FAULTS,
          induction=1),
    Proof("output AGU, each step", "lanes: full width", partial(agu_steps.outputs, LANES), 1, OUTPUT_STEP_FAULTS,
          induction=1),
    *(Proof(f"operand fetch, {columns} columns", "strides 1..15",
            partial(addressing.operand_fetch, columns_of(columns)), 4, FETCH_FAULTS,
            nightly=columns > 3) for columns in (3, 4)),
    *(Proof(f"output switch, {columns} columns", "spacings 1..15",
            partial(addressing.output_switch, columns_of(columns)), 1, SWITCH_FAULTS, induction=1,
            nightly=columns > 3) for columns in (3, 4)),
    Proof("memory ports", "tiny: 6 regions", partial(memories.ports, TINY), 1, PORT_FAULTS, induction=1),
    Proof("bounds", "tiny: 3 columns", partial(memories.bounds, TINY), 1, BOUND_FAULTS, induction=1),
    *(Proof(f"addresses of transfers, {words} words a beat", "tiny: 3 banks",
            partial(transfers.addresses, TINY, words), 6, BANK_FAULTS[:words], induction=1) for words in (1, 2)),
    *(Proof(f"transfers, each step, {words} words", "tiny: full width, 3 banks",
            partial(counter_steps.bank_interleaver, TINY, words), 1, BANK_STEP_FAULTS,
            induction=1) for words in (1, 2)),
    Proof("weight slots", "tiny", partial(transfers.slots, TINY), 3, SLOT_FAULTS, induction=1),
    Proof("an op ends, small", "one or two of everything, at most 6 cycles of work",
          partial(sequencer.op, CONTROL, 6), 26, OP_FAULTS[:3]),
    Proof("an op ends", "one or two of everything, at most 12 cycles of work",
          partial(sequencer.op, CONTROL, 12), 50, OP_FAULTS, nightly=True),
    Proof("sequencer, each step", "lanes: full width", partial(agu_steps.sequencer, LANES), 1, SEQUENCER_STEP_FAULTS,
          induction=1),
    Proof("requant sequencer, each step", "lanes: full width", partial(agu_steps.requant_sequencer, LANES), 1,
          REQUANT_STEP_FAULTS, induction=1),
    Proof("load DMA, each step", "lanes: full width", partial(counter_steps.load_dma, LANES), 1, LOAD_STEP_FAULTS,
          induction=1),
    Proof("dispatcher, each step", "tiny: full width", partial(counter_steps.dispatcher, TINY), 1, DISPATCHER_FAULTS,
          induction=1),
    Proof("program loader, each step", "tiny: full width", partial(counter_steps.program_loader, TINY), 1,
          PROGRAM_FAULTS, induction=1),
    Proof("counters", "2 rows, 2 columns: full width", partial(counter_steps.counters, CONTROL), 2, COUNTER_FAULTS,
          induction=2),
    Proof("counters, with a depthwise unit", "lanes: full width, 4 rows, 3 columns",
          partial(counter_steps.counters, LANES), 2, COUNTER_FAULTS[:1], induction=2, nightly=True),
    Proof("watchdog", "everything", counter_steps.watchdog, 1, (Fault("watchdog", "quiet + 1", "(quiet + 1)[:20]"),),
          induction=1),
    Proof("weight memory, each step", "lanes: full width", partial(datapath_steps.weight_memory, LANES), 1,
          WEIGHT_FAULTS, induction=1),
    Proof("descriptor queue", "tiny: full width", partial(counter_steps.descriptor_queue, TINY), 1,
          (Fault("descriptor_queue", "Mux(self.prepare, 0, shown + 1)", "Mux(self.prepare, 0, (shown + 1)[:9])"),
           Fault("descriptor_queue", "self.prepare | loading | self.take", "self.prepare | self.take")), induction=1),
    Proof("max pool, addresses", "lanes: full width", partial(datapath_steps.max_pool, LANES), 1,
          (Fault("max_pool", "block_after.eq(block + d.out_block_step)", "block_after.eq(pixel + d.out_block_step)"),
           Fault("max_pool", "pixel.eq(pixel + d.out_step)", "pixel.eq((pixel + d.out_step)[:8])")), induction=1),
    Proof("segments of taps", "tiny: 8 lanes", partial(datapath_steps.segments, TINY), 1,
          (Fault("operand_fetch", "(self.running.segment_mask & lane)", "(lane)"),
           Fault("operand_fetch", "word.rotate_left(1 << stage)", "word.rotate_left(stage + 1)")), induction=1),
    Proof("CSR file", "everything", counter_steps.csr_file, 1,
          (Fault("csr_file", "ones[bits] | (port & ~mask[bits])", "ones[bits]"),), induction=1),
    Proof("output packer, each step", "lanes: 32 planes", partial(datapath_steps.output_packer, LANES), 1,
          (Fault("output_packer", "plane + last_phase, 0)", "(plane + last_phase)[:4], 0)"),
           Fault("output_packer", "Mux(active & ~last_phase, phase + 1, 0)", "0"),
           Fault("output_packer", "Mux(d.table, waiting[-1], waiting[START_STAGES - 1])", "waiting[-1]")), induction=1),
    Proof("table memory, each step", "lanes: 2 codes a word", partial(datapath_steps.table_memory, LANES), 1,
          TABLE_FAULTS, induction=1),
    Proof("residual fetch, each step", "lanes: 8 planes", partial(datapath_steps.residual_fetch, LANES), 1,
          (Fault("residual_fetch", "plane + 1, 0)", "(plane + 1)[:2], 0)"),), induction=1),
    Proof("channel groups", "lanes: 4 groups", partial(datapath_steps.channel_groups, LANES), 1, CHANNEL_GROUP_FAULTS,
          induction=1),
    Proof("AXI4-Lite", "everything", buses.axi_lite, 8, LITE_FAULTS, induction=2),
    Proof("stream guard", "8-bit beats", partial(buses.stream_guard, 8), 8, GUARD_FAULTS, induction=2),
    Proof("word buffer", "8-bit words, 3 places", partial(buses.word_buffer, 8), 2, BUFFER_FAULTS, induction=1),
    Proof("stores are offered", "tiny", partial(buses.store_stream, TINY), 8, STORE_FAULTS, induction=2),
    *(Proof(f"beats of stores, {machine.name}", f"{machine.lanes}-bit words, {machine.stream_bits}-bit beats",
            partial(counter_steps.store_beats, machine), 1, BEAT_FAULTS[2 * (machine is TINY) :],
            induction=1) for machine in (TINY, LANES, THIN)),
    *(Proof(f"stores in order, {bits}-bit beats, {depth} cycles", "3 banks of 8-bit words, up to 3 addresses",
            partial(buses.store_order, with_beats(bits)), depth, ORDER_FAULTS[: 1 + (bits > 8)],
            nightly=depth > 12) for bits, depth in ((16, 12), (16, 20), (8, 20), (4, 20))),
)
