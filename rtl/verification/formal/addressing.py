"""Addresses: AGUs are at the contract's multiples after any number of steps, and columns never meet in a bank."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import gcd
from operator import or_

from amaranth.hdl import Array, Cat, Const, Mux, ResetSignal, Signal, Value
from amaranth.lib import data

from rtl.core.addressing.operand_fetch import OperandFetch
from rtl.core.addressing.output_agu import OutputAgu
from rtl.core.addressing.window_agu import PixelAgu, TapAgu
from rtl.core.datapath.output_packer import OutputPacker
from rtl.encoding.geometry import Geometry
from rtl.verification.formal.harness import (
    Harness,
    after_reset,
    assume,
    check,
    constant,
    drive_freely,
    follows,
    free,
    largest,
    past,
    probe,
    reach,
)
from sim.arch.limits import LIMITS
from sim.arch.machine import Machine

__all__ = ["operand_fetch", "output_switch", "outputs", "pixels", "taps"]

COUNT = 2
"""Bits of the coordinates in a kernel, of an output pixel and of its row group."""


def _steps(m: Harness, start: Value, step: Value, count: Value, name: str) -> Value:
    """`start + count * step`, modulo the width of `start`, by repeated addition: products are hard on a solver."""
    multiples = [start]
    for k in range(1, 1 << len(count)):
        multiples.append(Signal.like(start, name=f"{name}_{k}"))
        m.d.comb += multiples[k].eq(multiples[k - 1] + step)
    return Array(multiples)[count]


def taps(machine: Machine) -> Harness:
    """The tap AGU stands at tap (ky, kx), whatever steps led there.

    For all columns it gives map column `left + kx*dilation` and address `tap_start + kx*tap_step`; for column c it
    gives row `row_0 + ky*tap_rows` and, with r rows of C banks passed since the first row, address
    `quotient_0 + r*pitch` and the bank with `bank_0 + ky*tap_rows = r*C + bank`. ky and kx are below 2**COUNT and
    tap_rows below 2*C; the descriptor is otherwise arbitrary.
    """
    m, geometry = after_reset(), Geometry(machine)
    m.submodules.dut = dut = TapAgu(geometry)
    drive_freely(m, dut, "descriptor")
    d, columns, quotient = dut.descriptor, geometry.columns, constant(m, 1, "tap_rows_quotient")
    m.d.comb += d.eq(constant(m, geometry.descriptor, "fields"))
    assume(m, (d.bank_step < columns) & (d.tap_rows == quotient * columns + d.bank_step))
    assume(m, (d.tap_row_step == Mux(quotient, d.pitch, 0)) & (d.kernel_width < 1 << COUNT))
    assume(m, Cat(d.bank[c] < columns for c in range(columns)).all())
    begun = Signal()
    m.d.sync += begun.eq(begun | dut.step.reset)
    states = {name: data.View(dut.state, probe(m, f"dut.{name}", dut.state.size)) for name in ("current", "group")}
    places = _tap_places(m, dut, states["current"], quotient)
    for name, state in states.items():
        claims = _tap_claims(m, d, state, places[name], geometry, name)
        check(m, ~begun | Cat(claims).all(), f"{name}: where the tap lies")
    return m


def _tap_claims(m: Harness, d: data.View, state: data.View, place: data.View, geometry: Geometry,
                name: str) -> list[Value]:
    """Everything that the AGU must say about a tap."""
    claims = [state.tap == place.tap, state.kernel_column == place.kx, place.kx <= d.kernel_width,
              state.column == _steps(m, d.left, d.dilation, place.kx, f"{name}_column"),
              state.address == _steps(m, d.tap_start, d.tap_step, place.kx, f"{name}_address")]
    for c in range(geometry.columns):
        first = Signal(COUNT + 4, name=f"{name}_first_{c}")
        m.d.comb += first.eq(d.bank[c])
        claims += [state.row[c] == _steps(m, d.row[c], d.tap_rows, place.ky, f"{name}_row_{c}"),
                   state.quotient[c] == _steps(m, d.quotient[c], d.pitch, place.passed[c], f"{name}_quotient_{c}"),
                   _steps(m, first, d.tap_rows[:4], place.ky, f"{name}_rows_{c}")
                   == place.passed[c] * geometry.columns + state.bank[c], state.bank[c] < geometry.columns]
    return claims


def _tap_places(m: Harness, dut: TapAgu, standing: data.View, quotient: Value) -> dict[str, data.View]:
    """Return where the AGU should stand and where its tap group began; `passed` counts rows of banks by column."""
    d, columns = dut.descriptor, dut.geometry.columns
    layout = data.StructLayout({"ky": COUNT, "kx": COUNT, "tap": 2 * COUNT,
                                "passed": data.ArrayLayout(COUNT + 1, columns)})
    current, group, after = (Signal(layout, name=name) for name in ("place", "group_place", "place_after"))
    row_ends = current.kx == d.kernel_width
    m.d.comb += [after.kx.eq(Mux(row_ends, 0, current.kx + 1)), after.ky.eq(current.ky + row_ends),
                 after.tap.eq(current.tap + 1)]
    for c in range(columns):
        wraps = standing.bank[c] + d.bank_step >= columns
        m.d.comb += after.passed[c].eq(current.passed[c] + Mux(row_ends, quotient + wraps, 0))
    assume(m, ~dut.step.advance | ~(current.tap.all() | (current.ky.all() & row_ends)))
    with m.If(dut.step.reset):
        m.d.sync += [current.eq(0), group.eq(0)]
    with m.Elif(dut.step.restore & ~dut.step.commit):
        m.d.sync += current.eq(group)
    with m.Elif(dut.step.advance):
        m.d.sync += current.eq(after)
    with m.If(dut.step.commit & ~dut.step.reset):
        m.d.sync += group.eq(Mux(dut.step.advance, after, current))
    return {"current": current, "group": group}


def pixels(machine: Machine) -> Harness:
    """The pixel AGU stands at pixel (g, x), whatever steps led there.

    It adds `g*row_group_rows` to rows, `x*stride` to columns and `g*row_group_step + x*pixel_step` to addresses.
    g and x are below 2**COUNT; the descriptor is otherwise arbitrary.
    """
    m, geometry = after_reset(), Geometry(machine)
    m.submodules.dut = dut = PixelAgu(geometry)
    drive_freely(m, dut, "descriptor")
    d, layout = dut.descriptor, data.StructLayout({"g": COUNT, "x": COUNT})
    m.d.comb += d.eq(constant(m, geometry.descriptor, "fields"))
    assume(m, d.out_width < 1 << COUNT)
    current, origin, after = (Signal(layout, name=name) for name in ("place", "origin_place", "place_after"))
    row_ends = current.x == d.out_width
    m.d.comb += [after.x.eq(Mux(row_ends, 0, current.x + 1)), after.g.eq(current.g + row_ends)]
    assume(m, ~((dut.step.advance | dut.step.commit) & row_ends & current.g.all()))
    with m.If(dut.step.reset):
        m.d.sync += [current.eq(0), origin.eq(0)]
    with m.Elif(dut.step.commit):
        m.d.sync += [current.eq(after), origin.eq(after)]
    with m.Elif(dut.step.restore):
        m.d.sync += current.eq(origin)
    with m.Elif(dut.step.advance):
        m.d.sync += current.eq(after)
    begun = Signal()
    m.d.sync += begun.eq(begun | dut.step.reset)
    for name, place in {"current": current, "origin": origin}.items():
        state = data.View(dut.state, probe(m, f"dut.{name}", dut.state.size))
        check(m, ~begun | Cat(_pixel_claims(m, d, state, place, name)).all(), f"{name}: where the pixel lies")
    check(m, ~begun | (dut.last_row_group == (current.g == d.row_groups)), "the last row group is known")
    return m


def _pixel_claims(m: Harness, d: data.View, state: data.View, place: data.View, name: str) -> list[Value]:
    """Everything that the AGU must say about a pixel."""
    zeros = {field: Signal.like(state[field], name=f"{name}_{field}_0") for field in ("row", "column", "group_address")}
    group = Signal.like(state.group_address, name=f"{name}_group_start")
    m.d.comb += group.eq(_steps(m, zeros["group_address"], d.row_group_step, place.g, f"{name}_group"))
    return [state.x == place.x, state.group == place.g, place.x <= d.out_width, state.group_address == group,
            state.row == _steps(m, zeros["row"], d.row_group_rows, place.g, f"{name}_row"),
            state.column == _steps(m, zeros["column"], d.stride, place.x, f"{name}_column"),
            state.address == _steps(m, group, d.pixel_step, place.x, f"{name}_address")]


def operand_fetch(machine: Machine) -> Harness:
    """Every column gets the word at its own address from its own bank, or the zero point's plane; no two want one bank.

    Column c reads row `stride*c + r` of the map, for any stride below 16 and any r, in the phase that its index gives
    it; AGUs, descriptor and banks are otherwise arbitrary. Outside the map nothing is read.
    """
    m, geometry = after_reset(), Geometry(machine)
    m.submodules.dut = dut = OperandFetch(geometry)
    drive_freely(m, dut, "tap.bank", "running")
    d, columns = dut.descriptor, geometry.columns
    m.d.comb += dut.running.eq(constant(m, geometry.descriptor, "running"))
    stride, first = constant(m, 4, "stride"), free(m, 4, "first_row")
    assume(m, (stride != 0) & (first < columns))
    for c in range(columns):
        phase = Array([c // (columns // gcd(s or 1, columns)) for s in range(16)])[stride]
        bank = first + Array([s * c % columns for s in range(16)])[stride]
        m.d.comb += dut.tap.bank[c].eq(Mux(bank >= columns, bank - columns, bank))
        assume(m, d.phase[c] == phase)
    wanted: list[Value] = []
    for c in range(columns):
        column, row = dut.tap.column + dut.pixel.column, dut.tap.row[c] + dut.pixel.row
        asked = dut.read & dut.tap.present & dut.columns[c] & (d.phase[c] == dut.phase)
        inside = (column >= 0) & (column < d.width) & (row >= 0) & (row < d.height)
        address = Signal(geometry.address_bits, name=f"address_{c}")
        m.d.comb += address.eq(dut.tap.address + dut.pixel.address + dut.block_address + dut.request.plane
                               + dut.tap.quotient[c])
        bank, was_inside, reads = past(m, dut.tap.bank[c]), past(m, inside), past(m, asked, cleared=True)
        reading, at = Array(list(dut.bank.read))[bank], Array(list(dut.bank.address))[bank]
        check(m, ~(reads & was_inside) | (reading & (at == past(m, address))), f"column {c} reads its word in its bank")
        outside = dut.running.zero_code.bit_select(past(m, past(m, dut.request.plane)), 1).replicate(geometry.lanes)
        word = Mux(past(m, was_inside), Array(list(dut.bank.data))[past(m, bank)], outside)
        arrived = past(m, past(m, reads, cleared=True), cleared=True)
        check(m, ~arrived | (dut.word[c] == past(m, word)), f"column {c} gets its bank's word, or the zero point")
        wanted.append(past(m, Mux(asked & inside, 1 << dut.tap.bank[c], 0)))
    most = (1 << (LIMITS.map_bits - 1)) - 1
    reach(m, {"compute.width": (d.width, most), "compute.height": (d.height, most),
              "compute.zero_code": (dut.running.zero_code, 255), "compute.phase": (d.phase[columns - 1], columns - 1)})
    check(m, ResetSignal() | past(m, ResetSignal()) | (dut.bank.read == reduce(or_, wanted)), "nothing else is read")
    return m


def outputs(machine: Machine) -> Harness:
    """The output AGU, whatever steps led there, stands at pixel (g, x) of row tile t, in the block and lanes of t.

    A block holds G row tiles: t is group t mod G of block t // G, at address `base + t // G * block_step + g * pitch +
    x * step`. g, x and t are below 2**COUNT; the op does not run on depthwise lanes, and ends with a row.
    """
    m, geometry = after_reset(), Geometry(machine)
    m.submodules.dut = dut = OutputAgu(geometry, lattice=True)
    drive_freely(m, dut, "descriptor", "base", "step", "row_step", "block_step")
    d, address = dut.descriptor, geometry.address_bits
    pitch, row = constant(m, address, "pitch"), Signal(address, name="row_step")
    m.d.comb += [d.eq(constant(m, geometry.descriptor, "fields")), dut.base.eq(constant(m, address, "base")),
                 dut.step.eq(constant(m, address, "step")), dut.block_step.eq(constant(m, address, "block_step"))]
    m.d.comb += [row.eq(pitch - _steps(m, Const(0, address), dut.step, d.out_width[:COUNT], "width")),
                 dut.row_step.eq(row)]
    assume(m, ~d.depthwise_unit & (d.tile_channel_groups == 0) & (d.last_tile_channel_groups == 0)
           & (d.out_width < 1 << COUNT) & (d.pixels < 1 << 2 * COUNT))
    begun, g, x, tile = Signal(), Signal(COUNT), Signal(COUNT), Signal(COUNT)
    pixel = Signal(2 * COUNT)
    m.d.sync += begun.eq(begun | dut.reset)
    last, row_ends = pixel == d.pixels, x == d.out_width
    assume(m, ~(dut.advance & last & tile.all()) & (~last | row_ends) & ~(dut.advance & ~last & row_ends & g.all()))
    with m.If(dut.reset):
        m.d.sync += [pixel.eq(0), g.eq(0), x.eq(0), tile.eq(0)]
    with m.Elif(dut.advance):
        m.d.sync += [pixel.eq(Mux(last, 0, pixel + 1)), x.eq(Mux(row_ends, 0, x + 1)),
                     g.eq(Mux(last, 0, g + row_ends)), tile.eq(tile + last)]
    block = Signal(address, name="block_start")
    blocks_before = Signal(COUNT)
    m.d.comb += blocks_before.eq(tile // geometry.lane_slices)
    m.d.comb += block.eq(_steps(m, dut.base, dut.block_step, blocks_before, "block"))
    inside = [probe(m, "dut.pixel", LIMITS.pixel_bits) == pixel, probe(m, "dut.row_tile", LIMITS.tile_bits) == tile,
              probe(m, "dut.block", address) == block, probe(m, "dut.inner", 1) == 0, pixel <= d.pixels,
              probe(m, "dut.column", LIMITS.map_bits) == x, x <= d.out_width]
    check(m, ~begun | Cat(inside).all(), "the counts are those of the loops")
    start = Signal(address, name="row_start")
    m.d.comb += start.eq(_steps(m, block, pitch, g, "row"))
    check(m, ~begun | (dut.address == _steps(m, start, dut.step, x, "pixel")), "the address is the pixel's")
    check(m, ~begun | (dut.group == tile % geometry.lane_slices), "the group is the row tile's")
    check(m, ~begun | (dut.last == (last & (tile == d.row_tiles))), "the last pixel is known")
    return m


def output_switch(machine: Machine) -> Harness:
    """The plane of every column goes to its own bank and address, no two of a phase to one; no other is written.

    It is written in the cycle after it was given out.

    Column c writes row `spacing*c + r` of the output, for any spacing below 16 and any r, in the phase that its index
    gives it; AGU, descriptor and codes are otherwise arbitrary.
    """
    m, geometry = after_reset(), Geometry(machine)
    dut, columns = OutputPacker(geometry), geometry.columns
    m.submodules.dut = dut
    drive_freely(m, dut, "descriptor")
    d = dut.descriptor
    m.d.comb += d.eq(constant(m, geometry.descriptor, "fields"))
    spacing, first = constant(m, 4, "spacing"), constant(m, 4, "first_row")
    assume(m, (spacing != 0) & (first < columns))
    plane, phase = probe(m, "dut.plane", 6), probe(m, "dut.phase", geometry.column_bits)
    active, at = probe(m, "dut.active", 1), probe(m, "dut.agu.address", geometry.address_bits)
    has = probe(m, "dut.agu.columns", columns)
    wanted: list[Value] = []
    for c in range(columns):
        bank = first + _chosen([s * c % columns for s in range(16)], spacing)
        assume(m, d.out_phase[c] == _chosen([c // (columns // gcd(s or 1, columns)) for s in range(16)], spacing))
        assume(m, d.out_bank[c] == Mux(bank >= columns, bank - columns, bank))
        asked = active & has[c] & (d.out_phase[c] == phase)
        address = Signal(geometry.address_bits, name=f"address_{c}")
        m.d.comb += address.eq(at + plane + d.out_quotient[c])
        to, word = d.out_bank[c], past(m, probe(m, f"dut.plane_{c}", geometry.rows)).replicate(geometry.lane_slices)
        right = Array(list(dut.write.address))[to] == past(m, address), Array(list(dut.write.data))[to] == word
        check(m, ~past(m, asked, cleared=True) | (right[0] & right[1]), f"the plane of column {c} goes to its bank")
        wanted.append(Mux(asked, 1 << to, 0))
    reach(m, {"compute.out_bank": (d.out_bank[columns - 1], columns - 1),
              "compute.out_quotient": (d.out_quotient[0], largest(geometry.address_bits)),
              "compute.out_phase": (d.out_phase[columns - 1], columns - 1)})
    follows(m, dut.write.write, reduce(or_, wanted), "nothing else is written")
    return m


def _chosen(numbers: Sequence[int], index: Value) -> Value:
    """Return the number at an index; of an Array Yosys would make a memory, whose contents induction does not know."""
    return reduce(or_, (Mux(index == i, number, 0) for i, number in enumerate(numbers)))
