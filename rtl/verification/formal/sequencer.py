"""The head of the pipeline: sequencer, pair engine and requantizer control in a closed loop, with any weights."""

from __future__ import annotations

from amaranth.hdl import Cat, Mux, ResetSignal, Signal, Value
from amaranth.lib import data

from rtl.core.addressing.window_agu import PixelAgu, TapAgu
from rtl.core.control.requant_sequencer import RequantSequencer
from rtl.core.control.sequencer import Sequencer
from rtl.core.datapath.plane_sequencer import PlaneSequencer
from rtl.encoding.geometry import Geometry
from rtl.verification.formal.harness import Harness, after_reset, assume, check, constant, free, past, probe
from sim.arch.limits import LIMITS
from sim.arch.machine import Machine

__all__ = ["op"]

PATIENCE = 2
"""Cycles after which a row tile's weights have come, once there is room for them."""
SLOTS = 2
"""Slots for weights, and accumulator banks."""
DRAIN = 12
"""Cycles of the pipeline from the last operand of a tile to its requantizer."""


def op(machine: Machine, work: int) -> Harness:
    """An op of any small shape is read in the order of its loops and requantized to its end, and sets never clash.

    Row tiles, chunks, tap groups and channel blocks number one or two, as do the pixels of a chunk, the bits of weights
    and activations, the taps of a step, its phases and the terms; residuals have none to two bits. Row tiles times
    chunks times the cycles of a chunk are at most `work`. Weights come when they like, but within PATIENCE cycles of
    there being room. Then the op takes no longer than its work, PATIENCE for each tile and, since two tiles are
    under way at once, DRAIN for every other tile.
    """
    m, geometry = after_reset(), Geometry(machine)
    m.submodules.sequencer = sequencer = Sequencer(geometry)
    m.submodules.pairs = pairs = PlaneSequencer(geometry)
    m.submodules.requant = requant = RequantSequencer(geometry)
    d, since = _descriptor(m, geometry), Signal(8)
    m.d.sync += since.eq(since + ~since.all())
    for part in (sequencer, pairs, requant):
        m.d.comb += part.descriptor.eq(d)
    m.d.comb += [
        sequencer.init.eq(since == 0), sequencer.begin.eq(since == 1), requant.begun.eq(since == 2),
        sequencer.bank_freed.eq(requant.tile_done),
        pairs.launch.eq(sequencer.launch), pairs.step.eq(sequencer.step), requant.tile_ready.eq(pairs.tile_ready),
    ]
    _weights(m, sequencer)
    _check_semaphores(m, sequencer, requant)
    _check_sets(m, pairs, requant)
    _check_order(m, sequencer)
    _check_agus(m, sequencer)
    tiles, cycles = _size(m, geometry, d)
    done, work_cycles = Signal(4), Signal(12)
    m.d.sync += done.eq(done + requant.tile_done)
    m.d.comb += work_cycles.eq(tiles * cycles)
    assume(m, work_cycles <= work)
    check(m, done <= tiles, "no tile is requantized twice")
    in_time = work_cycles + (tiles + 1)[1:] * DRAIN + tiles * PATIENCE + 4
    check(m, (since < in_time) | (done == tiles), "the op ends in time")
    return m


def _descriptor(m: Harness, geometry: Geometry) -> data.View:
    """Any legal op of that size."""
    d = constant(m, geometry.descriptor, "descriptor")
    ones = ("row_tiles", "chunks", "chunk_pixels", "last_chunk_pixels", "tap_groups", "channel_blocks", "bits_w",
            "bits_a", "segments", "phases", "bits_out", "residual_bits")
    for name in ones:
        assume(m, d[name] <= 1)
    step, longest, slot = Signal(5), Signal(5), Signal(5)
    per_step = (d.segments + 1) * (d.phases + 1)
    reads, terms = per_step * (d.bits_a + 1), d.terms + d.residual_terms + d.gate_terms
    m.d.comb += [
        step.eq((d.bits_a + 1) * Mux(per_step > d.bits_w + 1, per_step, d.bits_w + 1)),
        longest.eq(Mux(reads > d.bits_w + 1, reads, d.bits_w + 1)),
        slot.eq(Mux(d.bits_out + 1 > terms * geometry.rows_per_unit, d.bits_out + 1, terms * geometry.rows_per_unit)),
    ]
    residual = d.has_residual & (d.residual_bits + 1 > slot)
    assume(m, (terms >= 1) & (d.terms <= 2) & (d.residual_terms <= 1) & (d.gate_terms <= 1))
    assume(m, ~d.pool & ~d.depthwise_unit)
    assume(m, (d.tile_channel_groups == 0) & (d.last_tile_channel_groups == 0))
    assume(m, (d.step_cycles == step - 1) & (d.launch_at == longest - 1) & (d.weights_from == longest - d.bits_w - 1))
    assume(m, d.requant_cycles == Mux(residual, d.residual_bits + 1, slot) - 1)
    return d


def _size(m: Harness, geometry: Geometry, d: data.View) -> tuple[Value, Value]:
    """Tiles of the op, and at most the cycles of one."""
    tiles, cycles, pixels = Signal(4), Signal(9), Signal(2)
    m.d.comb += [
        tiles.eq((d.row_tiles + 1) * (d.chunks + 1)),
        pixels.eq(Mux(d.chunk_pixels > d.last_chunk_pixels, d.chunk_pixels, d.last_chunk_pixels) + 1),
        cycles.eq(pixels * ((d.tap_groups + 1) * (d.channel_blocks + 1) * (d.step_cycles + 1) + d.requant_cycles + 1)),
    ]
    return tiles, cycles


def _weights(m: Harness, sequencer: Sequencer) -> None:
    """Row tiles come in order, each when the one two before it was issued, sooner or later."""
    held, came, waited = Signal(2), free(m, 1, "came"), Signal(range(PATIENCE + 1))
    m.d.comb += sequencer.slot_filled.eq(came)
    m.d.sync += [held.eq(held + came - past(m, sequencer.tile_issued, cleared=True)),
                 waited.eq(Mux(came | (held == SLOTS), 0, waited + 1))]
    assume(m, ~came | (held < SLOTS))
    assume(m, came | (held == SLOTS) | (waited < PATIENCE))


def _check_semaphores(m: Harness, sequencer: Sequencer, requant: RequantSequencer) -> None:
    """Counts of free banks, of filled slots and of complete tiles stay between none and all."""
    for name, most in (("sequencer.free", SLOTS), ("sequencer.filled", SLOTS), ("requant.ready", SLOTS)):
        count = probe(m, name, 2)
        check(m, count <= most, f"{name} is at most {most}")
        change = count - past(m, count)
        check(m, ResetSignal() | past(m, ResetSignal()) | (change <= 1) & (change >= -1), f"{name} does not wrap")


def _check_sets(m: Harness, pairs: PlaneSequencer, requant: RequantSequencer) -> None:
    """Array and requantizer never have the same accumulator bank, and the pairs of two steps never overlap."""
    for name in ("add", "accumulate"):
        pair = getattr(pairs, name)
        check(m, ~(pair.valid & requant.active & (pair.step.bank == requant.bank)), f"{name}: the bank is the array's")
    start = probe(m, "pairs.launch_2", 1)
    check(m, ~start | ~pairs.select.valid | pairs.select.last, "a step's pairs end before the next step's begin")


def _check_order(m: Harness, sequencer: Sequencer) -> None:
    """Reads go through the loops in the contract's order: each is the successor of the one before, the first is 0."""
    d = sequencer.descriptor
    loops = ((sequencer.phase, d.phases), (d.bits_a - sequencer.plane, d.bits_a),
             (probe(m, "sequencer.segment", LIMITS.tap_bits), d.segments), (sequencer.pixel, sequencer.pixels),
             (sequencer.channel_block, d.channel_blocks), (sequencer.tap_group, d.tap_groups),
             (sequencer.chunk, d.chunks), (sequencer.row_tile, d.row_tiles))
    expected: list[Signal] = []
    carry: Value = sequencer.read
    for i, (index, limit) in enumerate(loops):
        expected.append(Signal(3, name=f"expected_{i}"))
        ends = index == limit
        with m.If(carry):
            m.d.sync += expected[i].eq(Mux(ends, 0, index + 1))
        carry = carry & ends
    over = Signal()
    with m.If(carry):
        m.d.sync += over.eq(1)
    right = Cat(index == following for (index, _), following in zip(loops, expected, strict=True))
    check(m, ~sequencer.read | right.all(), "reads come in the order of the loops")
    check(m, ~sequencer.read | ~over, "after the last read there is none")
    ended = Signal()
    m.d.sync += ended.eq(ended | sequencer.op_issued)
    check(m, ~ended | over, "an op that was issued was read to its end")


def _check_agus(m: Harness, sequencer: Sequencer) -> None:
    """At every read the AGUs stand at the tap and at the output pixel of the loops."""
    d = sequencer.descriptor
    m.submodules.tap_agu = taps = TapAgu(sequencer.geometry)
    m.submodules.pixel_agu = pixels = PixelAgu(sequencer.geometry)
    for agu, name in ((taps, "tap"), (pixels, "pixel")):
        moves = getattr(sequencer, f"{name}_step")
        m.d.comb += [agu.descriptor.eq(d), *(getattr(agu.step, move).eq(getattr(moves, move))
                                              for move in ("advance", "restore", "commit", "reset"))]
    m.d.comb += sequencer.last_row_group.eq(pixels.last_row_group)
    tap = data.View(taps.state, probe(m, "tap_agu.current", taps.state.size)).tap
    place = data.View(pixels.state, probe(m, "pixel_agu.current", pixels.state.size))
    segment = probe(m, "sequencer.segment", LIMITS.tap_bits)
    assume(m, d.out_width <= 1)
    at_tap = tap == sequencer.tap_group[:2] * (d.segments[:1] + 1) + segment
    at_pixel = (place.group[:4] * (d.out_width[:1] + 1) + place.x[:1]
                == sequencer.chunk[:2] * (d.chunk_pixels[:1] + 1) + sequencer.pixel[:1])
    check(m, ~sequencer.read | at_tap, "the tap AGU stands at the loops' tap")
    check(m, ~sequencer.read | at_pixel, "the pixel AGU stands at the loops' pixel")
