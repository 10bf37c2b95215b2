"""Steps of AGUs and loops at full width: what follows a state, whatever the state is.

The closed forms of `rtl.verification.formal.addressing` and the orders of `rtl.verification.formal.sequencer` are
proved for few taps and pixels. These proofs carry them on: an AGU that starts right and makes each step right is right
after any number of steps.
"""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Mux, Signal, Value
from amaranth.lib import data

from rtl.core.addressing.output_agu import OutputAgu
from rtl.core.addressing.window_agu import PixelAgu, TapAgu
from rtl.core.control.requant_sequencer import RequantSequencer
from rtl.core.control.sequencer import Sequencer
from rtl.encoding.geometry import Geometry
from rtl.verification.formal.harness import (
    Harness,
    after_reset,
    assume,
    check,
    constant,
    drive_freely,
    follows,
    largest,
    odometer,
    past,
    probe,
    reach,
)
from sim.arch.limits import LIMITS
from sim.arch.machine import Machine
from sim.hardware.dimensions import PARAMETER_SLOTS
from sim.ir.formats import MAX_PLANES

__all__ = ["outputs", "pixels", "requant_sequencer", "sequencer", "taps"]

LARGEST = (1 << (LIMITS.map_bits - 1)) - 1
"""Rows and columns of a padded map."""


def _descriptor(m: Harness, geometry: Geometry, *parts: object) -> data.View:
    """Any op, the same one in all cycles, for all components."""
    d = constant(m, geometry.descriptor, "descriptor")
    for part in parts:
        m.d.comb += part.descriptor.eq(d)  # type: ignore[attr-defined]
    return d


def _agu(m: Harness, dut: TapAgu | PixelAgu, start: Value, after: Value, kept: str) -> None:
    """Registers `current` and `kept` under the four commands of an AGU."""
    current, saved = (probe(m, f"dut.{name}", dut.state.size) for name in ("current", kept))
    advanced = after if kept == "origin" else Mux(dut.step.advance, after, current)
    follows(m, current, Mux(dut.step.reset, start, Mux(dut.step.commit, advanced, Mux(dut.step.restore, saved, Mux(
        dut.step.advance, after, current)))), "the AGU obeys its commands")
    follows(m, saved, Mux(dut.step.reset, start, Mux(dut.step.commit, advanced, saved)),
            "only a commit moves the way back")


def taps(machine: Machine) -> Harness:
    """The next tap is the next column of the kernel's row, or the first of its next row, from any state on.

    Then rows move by the vertical dilation, banks by its remainder modulo C, and addresses by its quotient and by the
    banks that were passed. Banks stay below C.
    """
    m, geometry = after_reset(), Geometry(machine)
    m.submodules.dut = dut = TapAgu(geometry)
    drive_freely(m, dut, "descriptor")
    d, columns = _descriptor(m, geometry, dut), geometry.columns
    start, after = Signal(dut.state, name="at_start"), Signal(dut.state, name="after_step")
    state = data.View(dut.state, probe(m, "dut.current", dut.state.size))
    assume(m, (d.bank_step < columns) & Cat(d.bank[c] < columns for c in range(columns)).all())
    m.d.comb += [start.column.eq(d.left), start.address.eq(d.tap_start), start.row.eq(d.row), start.bank.eq(d.bank),
                 start.quotient.eq(d.quotient)]
    ends = state.kernel_column == d.kernel_width
    m.d.comb += [after.tap.eq(state.tap + 1), after.kernel_column.eq(Mux(ends, 0, state.kernel_column + 1)),
                 after.column.eq(Mux(ends, d.left, state.column + d.dilation)),
                 after.address.eq(Mux(ends, d.tap_start, state.address + d.tap_step))]
    for c in range(columns):
        rows = Signal(range(2 * columns), name=f"rows_{c}")
        m.d.comb += [
            rows.eq(state.bank[c] + d.bank_step), after.bank[c].eq(Mux(ends, rows % columns, state.bank[c])),
            after.row[c].eq(state.row[c] + Mux(ends, d.tap_rows, 0)),
            after.quotient[c].eq(state.quotient[c] + Mux(ends, d.tap_row_step + rows // columns * d.pitch, 0)),
        ]
        for name in ("current", "group"):
            held = data.View(dut.state, probe(m, f"dut.{name}", dut.state.size))
            check(m, held.bank[c] < columns, f"{name}: column {c} has a bank")
    _agu(m, dut, start.as_value(), after.as_value(), "group")
    check(m, dut.position.present == (state.tap <= d.taps), "a tap is there up to the last one")
    _reach_taps(m, geometry, d, state)
    return m


def _reach_taps(m: Harness, geometry: Geometry, d: data.View, state: data.View) -> None:
    """Name the quantities of a tap AGU with their upper ends."""
    columns = geometry.columns
    reach(m, {
        "TapAgu.current.tap": (state.tap, largest(LIMITS.tap_bits)), "compute.taps": (d.taps, largest(LIMITS.tap_bits)),
        "TapAgu.current.kernel_column": (state.kernel_column, largest(LIMITS.tap_bits)),
        "compute.kernel_width": (d.kernel_width, largest(LIMITS.tap_bits)),
        "TapAgu.current.column": (state.column, LARGEST - 1), "TapAgu.current.row": (state.row[0], LARGEST - 1),
        "compute.dilation": (d.dilation, LARGEST), "compute.tap_rows": (d.tap_rows, LARGEST),
        "compute.bank_step": (d.bank_step, columns - 1),
        "compute.bank": (d.bank[0], columns - 1), "TapAgu.current.bank": (state.bank[0], columns - 1),
        **{f"TapAgu.current.{name}": (value, largest(geometry.address_bits)) for name, value in (
            ("address", state.address), ("quotient", state.quotient[0]))},
        **{f"compute.{name}": (value, largest(geometry.address_bits)) for name, value in (
            ("tap_step", d.tap_step), ("tap_row_step", d.tap_row_step), ("pitch", d.pitch),
            ("tap_start", d.tap_start), ("quotient", d.quotient[0]))},
        "compute.left": (d.left, 0), "compute.row": (d.row[0], LARGEST - 1),
    })


def pixels(machine: Machine) -> Harness:
    """The next pixel is the next column, or the first of the next row group, from any state on."""
    m, geometry = after_reset(), Geometry(machine)
    m.submodules.dut = dut = PixelAgu(geometry)
    drive_freely(m, dut, "descriptor")
    d, after = _descriptor(m, geometry, dut), Signal(dut.state, name="after_step")
    state = data.View(dut.state, probe(m, "dut.current", dut.state.size))
    ends, address = state.x == d.out_width, Signal(geometry.address_bits, name="group_address")
    m.d.comb += [
        address.eq(state.group_address + Mux(ends, d.row_group_step, 0)), after.group_address.eq(address),
        after.x.eq(Mux(ends, 0, state.x + 1)), after.group.eq(state.group + ends),
        after.row.eq(state.row + Mux(ends, d.row_group_rows, 0)),
        after.column.eq(Mux(ends, 0, state.column + d.stride)),
        after.address.eq(Mux(ends, address, state.address + d.pixel_step)),
    ]
    _agu(m, dut, Const(0, dut.state.size), after.as_value(), "origin")
    at = dut.position
    check(m, Cat(at.row == state.row, at.column == state.column, at.address == state.address,
                 dut.last_row_group == (state.group == d.row_groups)).all(), "it shows where it stands")
    reach(m, {
        **{f"PixelAgu.current.{name}": (state[name], LARGEST - 1) for name in ("x", "group", "row", "column")},
        **{f"PixelAgu.current.{name}": (state[name], largest(geometry.address_bits))
           for name in ("group_address", "address")},
        "compute.out_width": (d.out_width, LARGEST - 1), "compute.row_groups": (d.row_groups, LARGEST - 1),
        "compute.stride": (d.stride, LARGEST), "compute.row_group_rows": (d.row_group_rows, LARGEST),
        "compute.pixel_step": (d.pixel_step, largest(geometry.address_bits)),
        "compute.row_group_step": (d.row_group_step, largest(geometry.address_bits)),
    })
    return m


def outputs(machine: Machine) -> Harness:
    """Groups of R lanes, pixels and row tiles follow one another from any state on, also on depthwise lanes.

    A pixel is that of all columns, from `last_row_group_pixel` on that of the last row group's; it is the op's last one
    with the last group of the last pixel of the last row tile.
    """
    m, geometry = after_reset(), Geometry(machine)
    m.submodules.dut = dut = OutputAgu(geometry, lattice=True)
    drive_freely(m, dut, "descriptor")
    d, groups, address = _descriptor(m, geometry, dut), geometry.lane_slices, geometry.address_bits
    pixel, tile, block = (probe(m, f"dut.{name}", bits) for name, bits in (
        ("pixel", LIMITS.pixel_bits), ("row_tile", LIMITS.tile_bits), ("block", address)))
    inner = probe(m, "dut.inner", max(1, geometry.channel_group_bits))
    first = probe(m, "dut.first_group", len(dut.group))
    last_tile, moved = tile == d.row_tiles, Signal(range(2 * groups), name="moved")
    m.d.comb += moved.eq(first + Mux(d.depthwise_unit, geometry.tile_channel_groups, 1))
    tile_groups = Mux(last_tile, d.last_tile_channel_groups, d.tile_channel_groups)
    over = odometer(m, dut.advance, (("inner", inner, tile_groups),
                                     ("pixel", pixel, d.pixels)), dut.reset)
    odometer(m, over, (("row tile", tile, None),), dut.reset)
    next_block = Signal(address, name="next_block")
    m.d.comb += next_block.eq(block + Mux(moved == groups, dut.block_step, 0))
    follows(m, block, Mux(dut.reset, dut.base, Mux(over, next_block, block)), "a block holds all groups")
    follows(m, first, Mux(dut.reset, 0, Mux(over, Mux(moved == groups, 0, moved), first)), "groups follow one another")
    inner_ends = inner == tile_groups
    column = probe(m, "dut.column", LIMITS.map_bits)
    row_ends = column == d.out_width
    odometer(m, dut.advance & inner_ends, (("column", column, d.out_width),), dut.reset)
    follows(m, dut.address, Mux(dut.reset, dut.base, Mux(over, next_block, dut.address + Mux(
        dut.advance & inner_ends, Mux(row_ends, dut.row_step, dut.step), 0))), "the address is the pixel's")
    check(m, dut.group == (first + inner)[: len(dut.group)], "the group is the lanes'")
    check(m, dut.columns == Mux(pixel < d.last_row_group_pixel, largest(geometry.columns), d.last_row_group_columns),
          "columns without a row in the last group are left out, and no others")
    check(m, dut.last == (inner_ends & (pixel == d.pixels) & last_tile), "the last pixel is known")
    reach(m, {
        "OutputAgu.pixel": (pixel, largest(LIMITS.pixel_bits)),
        "compute.pixels": (d.pixels, largest(LIMITS.pixel_bits)),
        "compute.last_row_group_pixel": (d.last_row_group_pixel, largest(LIMITS.pixel_bits)),
        "OutputAgu.row_tile": (tile, largest(LIMITS.tile_bits)), "OutputAgu.first_group": (first, groups - 1),
        "OutputAgu.block": (block, largest(address)), "OutputAgu.address": (dut.address, largest(address)),
        "compute.last_row_group_columns": (d.last_row_group_columns, largest(geometry.columns)),
        "OutputAgu.column": (column, largest(LIMITS.map_bits - 1) - 1),
        "OutputAgu.inner": (inner, geometry.tile_channel_groups - 1),
        "compute.tile_channel_groups": (d.tile_channel_groups, geometry.tile_channel_groups - 1),
        "compute.last_tile_channel_groups": (d.last_tile_channel_groups, geometry.tile_channel_groups - 1),
    })
    return m


def sequencer(machine: Machine) -> Harness:
    """The loops of an op, of its reads, its weight planes and its parts follow one another from any state on."""
    m, geometry = after_reset(), Geometry(machine)
    m.submodules.dut = dut = Sequencer(geometry)
    drive_freely(m, dut, "descriptor")
    d = _descriptor(m, geometry, dut)
    issuing, last_chunk = probe(m, "dut.issuing", 1), Signal(name="last_chunk")
    cycle, pixel, block, taps_, chunk, tile = (probe(m, f"dut.{name}", bits) for name, bits in (
        ("cycle", LIMITS.step_bits), ("pixel", LIMITS.pixel_bits), ("channel_block", LIMITS.block_bits),
        ("tap_group", LIMITS.tap_bits), ("chunk", LIMITS.pixel_bits), ("row_tile", LIMITS.tile_bits)))
    m.d.comb += last_chunk.eq(chunk == d.chunks)
    pixels_ = Mux(last_chunk, d.last_chunk_pixels, d.chunk_pixels)
    carry: Value = issuing
    for name, index, last in (("cycle", cycle, d.step_cycles), ("pixel", pixel, pixels_),
                              ("channel block", block, d.channel_blocks), ("tap group", taps_, d.tap_groups),
                              ("chunk", chunk, d.chunks)):
        carry = odometer(m, carry, ((name, index, last),), dut.init)
    odometer(m, carry, (("row tile", tile, None),), dut.init)
    check(m, dut.op_issued == (carry & (tile == d.row_tiles)), "an op is issued with its last row tile")
    check(m, dut.weight.last_row_tile == (tile == d.row_tiles), "the last row tile is known")
    step_end = issuing & (cycle == d.step_cycles)
    block_end = step_end & (pixel == pixels_)
    _segments(m, dut, step_end)
    _waits(m, dut)
    _addresses(m, dut, block_end)
    _planes_and_parts(m, dut, issuing, cycle, pixel, block_end, block_end & (block == d.channel_blocks))
    reach(m, {
        **{f"Sequencer.{name}": (value, largest(len(value))) for name, value in (
            ("cycle", cycle), ("pixel", pixel), ("channel_block", block), ("tap_group", taps_), ("chunk", chunk),
            ("row_tile", tile))},
        **{f"compute.{name}": (d[name], largest(len(d[name]))) for name in (
            "step_cycles", "chunk_pixels", "last_chunk_pixels", "channel_blocks", "tap_groups", "chunks",
            "row_tiles")},
    })
    return m


def _waits(m: Harness, dut: Sequencer) -> None:
    """Free accumulator banks and filled weight slots; a tile takes a bank, and a row tile's first one a slot."""
    d, go, chunk = dut.descriptor, probe(m, "dut.go", 1), probe(m, "dut.chunk", LIMITS.pixel_bits)
    free, filled = probe(m, "dut.free", 2), probe(m, "dut.filled", 2)
    takes = go & ~d.pool
    follows(m, free, free + dut.bank_freed - takes, "free accumulator banks count")
    running, first = probe(m, "dut.running", 1), chunk == 0
    may = ((free != 0) | d.pool) & ((filled != 0) | ~first | d.pool)
    check(m, go == (probe(m, "dut.open_op", 1) & ~running & may), "a tile begins as soon as it may")
    follows(m, filled, filled + dut.slot_filled - (takes & first), "filled weight slots count")
    reach(m, {"Sequencer.free": (free, 2), "Sequencer.filled": (filled, 2)})


def _addresses(m: Harness, dut: Sequencer, block_end: Value) -> None:
    """Blocks of channels lie behind one another; what row tiles read moves on by their lanes, up to the last window."""
    d, geometry = dut.descriptor, dut.geometry
    word, lane, step = probe(m, "dut.word", geometry.address_bits), dut.weight.tile_lane, d.bits_a + 1
    group_end, after = probe(m, "dut.group_end", 1), Signal(geometry.lane_bits + 1, name="lane_after")
    m.d.comb += after.eq(lane + d.tile_lanes)
    moves, before = probe(m, "dut.row_tile_end", 1), probe(m, "dut.before", 1)
    crosses = moves & (after >= geometry.lanes)
    next_word = Mux(crosses & ~before & (word != d.last_window), word + step, word)
    follows(m, before, Mux(dut.init, d.tile_before, before & ~crosses), "lanes before the first block move nothing")
    follows(m, word, Mux(dut.init, 0, next_word), "a block holds all its lanes")
    follows(m, lane, Mux(dut.init, d.tile_lane, Mux(moves, after, lane)), "lanes of row tiles follow one another")
    follows(m, dut.block_address, Mux(dut.init, 0, Mux(moves, next_word, Mux(group_end, word, Mux(
        block_end, dut.block_address + step, dut.block_address)))), "blocks lie behind one another")
    reach(m, {
        "Sequencer.word": (word, largest(geometry.address_bits)),
        "Sequencer.block_address": (dut.block_address, largest(geometry.address_bits)),
        "Sequencer.weight.tile_lane": (lane, geometry.lanes - 1),
        "compute.tile_lane": (d.tile_lane, geometry.lanes - 1),
        "compute.tile_lanes": (d.tile_lanes, geometry.lanes),
        "compute.last_window": (d.last_window, largest(geometry.address_bits)),
        "Sequencer.segment_lane": (dut.segment_lane, geometry.lanes - 1),
        "compute.segment_lanes": (d.segment_lanes, geometry.lanes // 2),
    })


def _segments(m: Harness, dut: Sequencer, step_end: Value) -> None:
    """Phases, planes and segments of a step's reads; after the last one there are none until the next step."""
    d, geometry = dut.descriptor, dut.geometry
    segment, passed, done = (probe(m, f"dut.{name}", bits) for name, bits in (
        ("segment", LIMITS.tap_bits), ("passed", 3), ("done", 1)))
    cleared = step_end | dut.init
    inner = odometer(m, dut.read, (("phase", dut.phase, d.phases),), dut.init)
    over = inner & (passed == d.bits_a)
    follows(m, passed, Mux(dut.init | over, 0, passed + inner), "planes count")
    follows(m, segment, Mux(cleared, 0, segment + over), "segments count")
    follows(m, done, ~cleared & (done | (over & (segment == d.segments))) & ~(over & (segment != d.segments)),
            "a step has been read with its last segment")
    follows(m, dut.segment_lane, Mux(cleared, 0, dut.segment_lane + Mux(over, d.segment_lanes, 0)),
            "a segment begins at its lane")
    check(m, dut.read == (probe(m, "dut.issuing", 1) & ~done), "a step reads until it has read all")
    check(m, dut.plane == Mux(d.depthwise_unit, passed, d.bits_a - passed)[:3],
          "planes come from the top, on lanes from 0")
    check(m, (dut.first_segment == (segment == 0)) & (dut.last_segment == (segment == d.segments)),
          "the first and the last segment are known")
    reach(m, {"Sequencer.segment": (segment, largest(LIMITS.tap_bits)),
              "compute.segments": (d.segments, largest(LIMITS.tap_bits)),
              "Sequencer.passed": (passed, 7), "compute.bits_a": (d.bits_a, 7),
              "Sequencer.phase": (dut.phase, geometry.columns - 1), "compute.phases": (d.phases, geometry.columns - 1)})


def _planes_and_parts(m: Harness, dut: Sequencer, issuing: Value, cycle: Value, pixel: Value, block_end: Value,
                      group_end: Value) -> None:
    """Weight planes are read at the beginning of a block; blocks are those of part after part."""
    d, geometry = dut.descriptor, dut.geometry
    reads = (issuing & ~d.pool & ~d.depthwise_unit & (pixel == 0) & (cycle >= d.weights_from) & (cycle <= d.launch_at))
    follows(m, dut.weight.plane, Mux(dut.init | (reads & (cycle == d.launch_at)), 0, dut.weight.plane + reads),
            "weight planes count")
    part, block = probe(m, "dut.part", 2), probe(m, "dut.block", LIMITS.block_bits)
    ends, cleared = block == Array(list(d.part_blocks))[part], group_end | dut.init
    follows(m, block, Mux(cleared | (block_end & ends), 0, block + block_end), "blocks of a part count")
    follows(m, part, Mux(cleared, 0, part + (block_end & ends)), "parts count")
    check(m, dut.weight.part_lanes == Mux(ends, Array(list(d.part_lanes))[part], geometry.lanes),
          "a part's last block has its lanes, others have all")
    reach(m, {
        "Sequencer.part": (part, LIMITS.max_parts - 1), "Sequencer.block": (block, largest(LIMITS.block_bits)),
        "compute.part_blocks": (d.part_blocks[LIMITS.max_parts - 1], largest(LIMITS.block_bits)),
        "compute.part_lanes": (d.part_lanes[LIMITS.max_parts - 1], geometry.lanes),
        **{f"compute.{name}": (d[name], largest(LIMITS.step_bits)) for name in ("launch_at", "weights_from")},
        "Sequencer.weight.plane": (dut.weight.plane, 7),
    })


def requant_sequencer(machine: Machine) -> Harness:
    """Slots, groups, pixels, chunks and row tiles of the requantizers follow one another from any state on.

    In a slot its units go through their rows, and through the terms of each.
    """
    m, geometry = after_reset(), Geometry(machine)
    m.submodules.dut = dut = RequantSequencer(geometry)
    drive_freely(m, dut, "descriptor")
    d, groups = _descriptor(m, geometry, dut), max(1, geometry.channel_group_bits)
    cycle, pixel, position, chunk, tile, group = (probe(m, f"dut.{name}", bits) for name, bits in (
        ("cycle", LIMITS.step_bits), ("pixel", LIMITS.pixel_bits), ("position", LIMITS.pixel_bits),
        ("chunk", LIMITS.pixel_bits),
        ("row_tile", LIMITS.tile_bits), ("group", groups)))
    last_chunk, never = chunk == d.chunks, Const(0, 1)
    slots = odometer(m, dut.active, (("cycle", cycle, d.requant_cycles),), never)
    tile_groups = Mux(tile == d.row_tiles, d.last_tile_channel_groups, d.tile_channel_groups)
    done = odometer(m, slots, (("group", group, tile_groups),), never)
    tiles = odometer(m, done, (("pixel", pixel, Mux(last_chunk, d.last_chunk_pixels, d.chunk_pixels)),), never)
    row_tiles = odometer(m, tiles, (("chunk", chunk, d.chunks),), never)
    odometer(m, row_tiles, (("row tile", tile, None),), dut.begun)
    follows(m, position, Mux(row_tiles, 0, position + done), "pixels of a row tile count")
    ready, start, slot = (probe(m, f"dut.{name}", bits) for name, bits in (("ready", 2), ("start", 1), ("slot", 2)))
    follows(m, ready, ready + dut.tile_ready - start, "tiles that are ready count")
    follows(m, slot, slot + row_tiles, "slots of parameters follow one another")
    check(m, ~start | (ready != 0) | dut.tile_ready, "a tile begins when it is ready")
    check(m, dut.tile_done == tiles, "a tile is done with its last pixel")
    check(m, dut.columns == Mux(position < d.last_row_group_pixel, largest(geometry.columns), d.last_row_group_columns),
          "columns without a row in the last group are left out, and no others")
    _terms(m, dut, slots)
    _captures(m, dut)
    reach(m, {
        "RequantSequencer.cycle": (cycle, largest(LIMITS.step_bits)),
        "compute.requant_cycles": (d.requant_cycles, largest(LIMITS.step_bits)),
        **{f"RequantSequencer.{name}": (value, largest(len(value))) for name, value in (
            ("pixel", pixel), ("position", position), ("chunk", chunk), ("row_tile", tile))},
        "RequantSequencer.group": (group, geometry.tile_channel_groups - 1),
        "RequantSequencer.ready": (ready, 2), "RequantSequencer.slot": (slot, PARAMETER_SLOTS - 1),
    })
    return m


def _captures(m: Harness, dut: RequantSequencer) -> None:
    """Codes are taken as they are ready, or a cycle later where they are looked up in a table."""
    for name in ("units", "row", "set", "columns"):
        ready, before = getattr(dut.ready, name), past(m, getattr(dut.ready, name), cleared=True)
        check(m, getattr(dut.capture, name) == Mux(dut.descriptor.table, before, ready), f"{name} of codes in time")


def _terms(m: Harness, dut: RequantSequencer, slot_end: Value) -> None:
    """Terms of a row, then the next row; after the last one nothing until the next slot."""
    d, geometry = dut.descriptor, dut.geometry
    term, row, done = (probe(m, f"dut.{name}", bits) for name, bits in (
        ("term", 5), ("row", geometry.unit_row_bits), ("done", 1)))
    gate_from = d.terms + d.residual_terms
    busy, last = dut.active & ~done, term + 1 == gate_from + d.gate_terms
    follows(m, term, Mux(slot_end | (busy & last), 0, term + busy), "terms count")
    follows(m, row, Mux(slot_end, 0, row + (busy & last)), "rows of a unit count")
    follows(m, done, Mux(slot_end, 0, done | (busy & last & (row == geometry.rows_per_unit - 1))),
            "a slot takes each row once")
    follows(m, dut.gated, term >= gate_from, "the terms of a gate are the last ones")
    follows(m, dut.residual, (term >= d.terms) & (term < gate_from), "digits of R come after those of M")
    follows(m, dut.index, (term - Mux(term >= gate_from, gate_from, Mux(term >= d.terms, d.terms, 0)))[:3],
            "digits of M, then of R, then of a gate count")
    reach(m, {"RequantSequencer.term": (term, 23), "compute.terms": (d.terms, 8), "compute.gate_terms": (
                  d.gate_terms, MAX_PLANES), "compute.residual_terms": (d.residual_terms, 8), "RequantSequencer.row": (
                  row, geometry.rows_per_unit - 1)})
