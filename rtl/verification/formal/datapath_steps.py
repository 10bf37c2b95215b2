"""Addresses and planes of the units of the datapath at full width: what follows a state, whatever the state is."""

from __future__ import annotations

from amaranth.hdl import Cat, Mux, Signal, Value
from amaranth.lib import data

from rtl.core.addressing.operand_fetch import OperandFetch
from rtl.core.datapath.depthwise_lanes import STEP_STAGES, DepthwiseUnit
from rtl.core.datapath.max_pool import MaxPool
from rtl.core.datapath.output_packer import START_STAGES, OutputPacker
from rtl.core.datapath.residual_fetch import ResidualFetch
from rtl.core.interfaces import read_layout, step_layout
from rtl.core.memory.table_memory import TableMemory
from rtl.core.memory.weight_memory import WeightMemory
from rtl.encoding.geometry import Geometry
from rtl.verification.formal.harness import (
    Harness,
    after_reset,
    assume,
    check,
    constant,
    follows,
    largest,
    place,
    probe,
    reach,
)
from sim.arch.machine import Machine
from sim.ir.formats import MAX_PLANES

__all__ = ["channel_groups", "max_pool", "output_packer", "residual_fetch", "segments", "table_memory",
           "weight_memory"]


def max_pool(machine: Machine) -> Harness:
    """Pixels of a channel block lie one step apart, and the next block's behind its base."""
    m, geometry = after_reset(), Geometry(machine)
    dut, bits = MaxPool(geometry), geometry.address_bits
    place(m, dut, "descriptor")
    d = dut.descriptor
    m.d.comb += d.eq(constant(m, geometry.descriptor, "fields"))
    pixel, block = probe(m, "dut.pixel", bits), probe(m, "dut.block", bits)
    compared = data.View(read_layout(geometry), probe(m, "dut.compared", read_layout(geometry).size))
    ends = compared.pixel_done & compared.block_done
    follows(m, block, Mux(dut.begun, d.out_base, block + Mux(ends, d.out_block_step, 0)), "blocks follow one another")
    follows(m, pixel, Mux(dut.begun, d.out_base, Mux(ends, block + d.out_block_step, Mux(
        compared.pixel_done, pixel + d.out_step, pixel))), "pixels follow one another")
    for address in dut.write.address:
        follows(m, address, pixel + compared.plane, "a plane has its address")
    reach(m, {"MaxPool.pixel": (pixel, largest(bits)), "MaxPool.block": (block, largest(bits))})
    return m


def segments(machine: Machine) -> Harness:
    """A word is moved to the lanes of its tap's segment, and those lanes are the ones that take it.

    Lanes are those whose number has the segment's in the bits of `segment_mask`.
    """
    m, geometry = after_reset(), Geometry(machine)
    dut = OperandFetch(geometry)
    place(m, dut, "descriptor", "running")
    d, lanes = dut.running, geometry.lanes
    for port in (dut.descriptor, dut.running):
        m.d.comb += port.eq(constant(m, geometry.descriptor, "fields"))
    arrived = dut.arrived
    for lane in range(lanes):
        check(m, dut.segment_mask[lane] == ((d.segment_mask & lane) == arrived.segment_lane), f"lane {lane} is chosen")
        for c in range(geometry.columns):
            source = Signal(geometry.lane_bits, name=f"source_{c}_{lane}")
            m.d.comb += source.eq(lane - arrived.rotation)
            right = dut.segment_word[c][lane] == dut.word[c].bit_select(source, 1)
            check(m, right, f"column {c}, lane {lane}: the word is rotated")
    reach(m, {"compute.segment_mask": (d.segment_mask, lanes - 1)})
    return m


def weight_memory(machine: Machine) -> Harness:
    """Weight words are read one behind another from the first of their slot on, and written where they were sent."""
    m, geometry = after_reset(), Geometry(machine)
    dut, words = WeightMemory(geometry), machine.weight_words
    place(m, dut)
    address, slot = probe(m, "dut.address", geometry.weight_address_bits), probe(m, "dut.slot", 1)
    follows(m, address, Mux(dut.request.read, Mux(dut.request.first, 0, address + 1), address),
            "words follow one another")
    follows(m, slot, Mux(dut.request.read, dut.request.slot, slot), "the slot is that of the read")
    assume(m, (address < words) & (dut.write_address < words))
    bits = (2 * words - 1).bit_length()
    for r in range(geometry.rows):
        read, write = (probe(m, f"dut.bank_{r}.{port}addr", bits) for port in "rw")
        check(m, (read == address + Mux(slot, words, 0)) & (write == dut.write_address + Mux(dut.write_slot, words, 0)),
              f"row {r}: slot 1 lies behind slot 0")
    d, every = dut.descriptor, largest(geometry.rows)
    rows = Mux(d.depthwise_unit, d.plane_rows, Mux(dut.request.last_row_tile, d.last_tile_rows, every))
    follows(m, probe(m, "dut.rows", geometry.rows + 1), Mux(dut.request.read, Cat(rows, d.bipolar), 0),
            "rows with a channel")
    reach(m, {"WeightMemory.address": (address, words - 1), "compute.plane_rows": (d.plane_rows, every),
              "compute.last_tile_rows": (d.last_tile_rows, every)})
    return m


def _places(m: Harness, d: data.View, prefix: str, geometry: Geometry, *more: str) -> dict[str, tuple[Value, int]]:
    """Claim that the addresses of an output packer or a residual fetch follow the descriptor."""
    names = ("base", "step", "block_step", *more)
    for name in names:
        check(m, probe(m, f"dut.agu.{name}", geometry.address_bits) == d[f"{prefix}_{name}"], f"the AGU's {name}")
    return {f"compute.{prefix}_{name}": (d[f"{prefix}_{name}"], largest(geometry.address_bits)) for name in names}


def output_packer(machine: Machine) -> Harness:
    """Planes of a pixel are written lowest first, each in all its phases, up to the output's last one.

    The first one comes a cycle later where codes are looked up in a table.
    """
    m, geometry = after_reset(), Geometry(machine)
    dut = OutputPacker(geometry)
    place(m, dut, "descriptor")
    d = dut.descriptor
    m.d.comb += d.eq(constant(m, geometry.descriptor, "fields"))
    plane, active = probe(m, "dut.plane", 6), probe(m, "dut.active", 1)
    waiting, phase = probe(m, "dut.waiting", START_STAGES + 1), probe(m, "dut.phase", geometry.column_bits)
    start = Mux(d.table, waiting[START_STAGES], waiting[START_STAGES - 1])
    over = phase == d.out_phases
    last = active & over & (plane == d.bits_out)
    follows(m, phase, Mux(active & ~over, phase + 1, 0), "phases count")
    follows(m, plane, Mux(active & ~last, plane + over, 0), "planes count")
    follows(m, active, start | (active & ~last), "a pixel is written to its last plane")
    reach(m, _places(m, d, "out", geometry, "row_step"))
    reach(m, {"OutputPacker.plane": (plane, machine.acc_bits - 1),
              "OutputPacker.phase": (phase, geometry.columns - 1),
              "compute.out_phases": (d.out_phases, geometry.columns - 1),
              "compute.bits_out": (d.bits_out, machine.acc_bits - 1)})
    return m


def table_memory(machine: Machine) -> Harness:
    """An index reads the word of its slot that holds its code, and the code that is chosen of that word is its own.

    The slot is that of the op that runs: it changes when such an op ends, and at no other time. Words are written into
    the slot that they were sent for, in all banks.
    """
    m, geometry = after_reset(), Geometry(machine)
    dut, code = TableMemory(geometry), geometry.table_code_bits
    place(m, dut)
    slot, words, codes = probe(m, "dut.slot", 1), geometry.table_words, geometry.table_word_bits // code
    follows(m, slot, slot ^ dut.op_done, "a slot is that of one op")
    for unit in range(geometry.units):
        for c in range(geometry.columns):
            bank, index = f"dut.bank_{unit}_{c}", dut.index[unit][c]
            read, write = (probe(m, f"{bank}.{port}addr", (2 * words - 1).bit_length()) for port in "rw")
            asked, word = probe(m, f"{bank}.ren", 1), probe(m, f"{bank}.rdata", geometry.table_word_bits)
            chosen = probe(m, f"dut.place_{unit}_{c}", codes.bit_length() - 1)
            check(m, asked == (dut.ready.units[unit] & dut.ready.columns[c]), "every code that is ready is looked up")
            check(m, read * codes + index % codes == slot * (words * codes) + index, "an index has its word")
            check(m, write == dut.write_slot * words + dut.write_word, "a word has its place")
            follows(m, chosen, Mux(asked, index % codes, chosen), "a code's place in its word is kept")
            check(m, dut.code[unit][c] == word.word_select(chosen, code), "the code is the one at that place")
    return m


def residual_fetch(machine: Machine) -> Harness:
    """Planes of a residual are read lowest first, up to its last one, each at its own address."""
    m, geometry = after_reset(), Geometry(machine)
    dut = ResidualFetch(geometry)
    place(m, dut, "descriptor")
    d = dut.descriptor
    m.d.comb += d.eq(constant(m, geometry.descriptor, "fields"))
    plane, fetch = probe(m, "dut.plane", 3), probe(m, "dut.fetch", 1)
    at, columns = probe(m, "dut.agu.address", geometry.address_bits), probe(m, "dut.agu.columns", geometry.columns)
    done, arriving = fetch & (plane == d.residual_bits), probe(m, "dut.columns", geometry.columns)
    follows(m, plane, Mux(fetch & ~done, plane + 1, 0), "planes count")
    follows(m, dut.bank.address, Mux(fetch, at + plane, dut.bank.address), "a plane has its address")
    check(m, ~d.residual_map | (dut.bank.read[1:] == 0), "a residual of one pixel lies in the first bank")
    check(m, d.residual_map | (dut.bank.read == arriving), "columns have the pixel")
    check(m, ~d.residual_map | (dut.bank.read[0] == arriving[0]), "the first bank is read for all columns")
    follows(m, arriving, Mux(fetch, columns, 0), "a plane arrives in the columns that have the pixel")
    reach(m, _places(m, d, "residual", geometry))
    reach(m, {"ResidualFetch.plane": (plane, MAX_PLANES - 1),
              "compute.residual_bits": (d.residual_bits, MAX_PLANES - 1)})
    return m


def channel_groups(machine: Machine) -> Harness:
    """After a step's last operand its sums move group after group, each to an accumulator of its own."""
    m, geometry = after_reset(), Geometry(machine)
    dut = DepthwiseUnit(geometry)
    place(m, dut, "descriptor")
    d = dut.descriptor
    m.d.comb += d.eq(constant(m, geometry.descriptor, "fields"))
    group, moving, start = (probe(m, f"dut.{name}", bits) for name, bits in (
        ("group", max(1, geometry.channel_group_bits)), ("moving", 1), (f"launch_{STEP_STAGES - 1}", 1)))
    last = group == d.tile_channel_groups
    follows(m, group, Mux(start, 0, group + moving), "groups count")
    follows(m, moving, start | (moving & ~last), "a step moves to its last group")
    layout, out = step_layout(geometry), dut.accumulate
    current, launched = (data.View(layout, probe(m, f"dut.{name}", layout.size))
                         for name in ("current", f"step_{STEP_STAGES - 1}"))
    follows(m, current.as_value(), Mux(start, launched.as_value(), current.as_value()), "a step stays while it moves")
    right = Cat(group[: geometry.channel_group_bits], current.address)[: len(out.step.address)]
    check(m, (out.valid == moving) & (out.step.address == right), "a group has its accumulator")
    check(m, dut.tile_ready == (moving & last & out.step.ends_tile), "a tile is ready with its last group")
    reach(m, {"DepthwiseUnit.group": (group, geometry.tile_channel_groups - 1)})
    return m
