"""The requantizer: its sum is exact at every moment, and its code is the one that the contract defines."""

from __future__ import annotations

from amaranth.hdl import Cat, Mux, Signal, Value, signed
from amaranth.lib import data

from rtl.core.datapath.requantizer import CODE_STAGES, Requantizer, RequantTerm, term_layout
from rtl.encoding.geometry import Geometry
from rtl.verification.formal.harness import (
    Harness,
    after_reset,
    assume,
    check,
    constant,
    cut,
    drive_freely,
    follows,
    past,
    probe,
    reach,
)
from sim.arch.machine import Machine
from sim.functional.requantize import FLOOR, HALF_UP, ROUNDING_MODES
from sim.ir.formats import Rounding

__all__ = ["codes", "products", "sums", "terms"]


def terms(machine: Machine) -> Harness:
    """The term of a channel is the digit that was asked for, and its sum starts from the offset, rounded up if need be.

    A term of a gate is a bit of the residual, with the exponent of that bit, negative if it is that of the sign.
    Everything is arbitrary but the digit's number, which exists.
    """
    m, geometry = after_reset(), Geometry(machine)
    m.submodules.dut = dut = RequantTerm(geometry)
    drive_freely(m, dut)
    packet, term = dut.packet, dut.term
    found = data.View(term_layout(geometry), probe(m, "dut.found", term_layout(geometry).size))
    follows(m, term.as_value(), Mux(dut.execute, found.as_value(), term.as_value()), "a term is there a cycle later")
    assume(m, (dut.gated | (dut.index < machine.terms)) & (packet.shift < machine.acc_bits + machine.window))
    for residual, name in enumerate(("multiplier", "residual")):
        for i in range(machine.terms):
            asked, digit = ~dut.gated & (dut.residual == residual) & (dut.index == i), packet[name][i]
            same = Cat(found.present == digit.present, found.negative == digit.negative,
                       found.exponent == digit.exponent)
            check(m, ~asked | same.all(), f"digit {i} of the {name}")
    exponent = Signal.like(found.exponent)
    m.d.comb += exponent.eq(dut.gate_exponent + dut.index)
    check(m, ~dut.gated | (found.present & (found.exponent == exponent)
                          & (found.negative == (dut.index == dut.negative_plane))), "bits of the gate")
    reach(m, {"compute.gate_exponent": (dut.gate_exponent, 63)})
    doubled = Signal(signed(machine.requant_bits + 1))
    m.d.comb += doubled.eq((packet.offset << 1) + (1 << packet.shift))
    rounds_up = (dut.rounding == HALF_UP) & (packet.shift != 0)
    check(m, Mux(rounds_up, (found.start << 1) == doubled, found.start == packet.offset), "what the sum starts from")
    choice = dut.choice
    check(m, Cat(found.first == dut.first, found.last == dut.last, found.shift == packet.shift,
                 choice.residual == dut.residual, choice.gated == dut.gated, choice.plane == dut.index).all(),
          "what goes through unchanged")
    return m


def products(machine: Machine) -> Harness:
    """The product of operand and digit is exact, and at most 2**exponent times the largest operand.

    The operand is taken one cycle before its digit. The exponent is any below its window; the operand is the residual
    code, or the accumulator, which bipolar weights make 2 * acc - reference modulo 2**acc_bits. A term of a gate is
    present where the residual has its bit; there the accumulator is a code, and the Program's own proof leaves room for
    the product.
    """
    m, geometry = after_reset(), Geometry(machine)
    m.submodules.dut = dut = Requantizer(geometry)
    drive_freely(m, dut)
    term, choice, wide = dut.term, dut.choice, signed(machine.requant_bits + 8)
    of_residual, of_gate = past(m, choice.residual), past(m, choice.gated)
    window = Mux(of_residual, machine.arithmetic.residual_window, machine.window)
    weighted, operand = Signal.like(dut.acc), Signal(signed(machine.acc_bits), name="taken_operand", reset_less=True)
    product, largest, there = Signal(wide), Signal(wide), Signal(reset_less=True)
    room = (1 << (machine.requant_bits - 1)) - 1
    is_code = ~dut.bipolar & ~choice.residual & (dut.acc >= -128) & (dut.acc < 256)
    assume(m, dut.execute & (dut.residual >= -128) & (~choice.gated | is_code))
    assume(m, Mux(of_gate, (term.exponent < machine.requant_bits - 1) & (product <= room) & (product >= -room),
                  term.exponent < window))
    m.d.comb += [
        weighted.eq(Mux(dut.bipolar, 2 * dut.acc - dut.reference, dut.acc)),
        product.eq(Mux(term.present & there, operand << term.exponent, 0)),
        largest.eq(_largest(machine, of_residual, term.exponent)),
    ]
    m.d.sync += [
        operand.eq(Mux(choice.residual, dut.residual, weighted)),
        there.eq(~choice.gated | ((dut.residual >> choice.plane) & 1)),
    ]
    shifted = probe(m, "dut.shifted", signed(machine.requant_bits))
    check(m, ~m.later | (shifted == product), "the product is exact")
    check(m, ~m.later | of_gate | ((shifted <= largest) & (shifted >= -largest)),
          "the product is at most that of the largest operand")
    return m


def sums(machine: Machine) -> Harness:
    """The sum is exact at every moment: offset + M * acc + R * r, digit by digit, never wraps in `requant_bits`.

    A sum takes digits of M, then of R, each with a lower exponent than the one before, as many as it likes and with
    gaps. The products are arbitrary within the bounds that `products` proves. With `lowest` the last exponent, those of
    M so far lie within +-(2**window - 2**lowest) * 2**(acc_bits - 1), which leaves room for all lower digits; those of
    R add no more. The terms of a gate come last; that no prefix of theirs leaves `requant_bits` is what every Program
    with a gate proves of itself. Operands are taken one cycle before their digits.
    """
    m, geometry = after_reset(), Geometry(machine)
    m.submodules.dut = dut = Requantizer(geometry)
    drive_freely(m, dut)
    term, wide = dut.term, signed(machine.requant_bits + 8)
    taken, residual, gated = (past(m, value, cleared=True)
                              for value in (dut.execute, dut.choice.residual, dut.choice.gated))
    product = cut(m, "dut.shifted", signed(machine.requant_bits))
    digits, offset = Signal(wide, reset_less=True), Signal(wide, reset_less=True)
    lowest, summing, added, starts = Signal(6, reset_less=True), Signal(), Signal(wide), Signal(wide)
    of_residual, of_gate = Signal(reset_less=True), Signal(reset_less=True)
    windows, room = (machine.window, machine.arithmetic.residual_window), Signal(6)
    fresh = term.first | (residual != of_residual)
    m.d.comb += [room.eq(Mux(fresh, Mux(residual, windows[1], windows[0]), lowest)),
                 added.eq(Mux(term.first, 0, digits) + Mux(term.negative, -product, product)),
                 starts.eq(Mux(term.first, term.start, offset))]
    limit, largest = 1 << (machine.acc_bits + machine.window - 1), _largest(machine, residual, term.exponent)
    assume(m, (term.start > -limit) & (term.start < limit + limit // 2))
    assume(m, ~taken | term.first | (summing & (gated | ~of_gate)))
    assume(m, ~taken | term.first | gated | residual | ~of_residual)
    assume(m, ~taken | Mux(gated, (starts + added < 4 * limit) & (starts + added >= -4 * limit), Mux(
        term.present, (term.exponent < room) & (product <= largest) & (product >= -largest), product == 0)))
    with m.If(taken):
        m.d.sync += [summing.eq(1), of_residual.eq(residual), of_gate.eq(gated), digits.eq(added),
                     lowest.eq(Mux(term.present, term.exponent, room)), offset.eq(starts)]
    bound = Signal(wide)
    m.d.comb += bound.eq(Mux(of_residual, 2 * limit, limit) - _largest(machine, of_residual, lowest))
    total, ungated = probe(m, "dut.total", signed(machine.requant_bits)), summing & ~of_gate
    check(m, ~ungated | ((digits <= bound) & (digits >= -bound)), "the products so far leave room for smaller digits")
    check(m, ~summing | ((offset > -limit) & (offset < limit + limit // 2)), "the offset is in its range")
    check(m, ~ungated | (lowest <= Mux(of_residual, windows[1], windows[0])), "exponents are in their windows")
    check(m, ~summing | ((offset + digits < 4 * limit) & (offset + digits >= -4 * limit)), "the sum fits")
    check(m, ~summing | (total == offset + digits), "the sum so far is exact")
    return m


def _largest(machine: Machine, residual: Value, exponent: Value) -> Value:
    """Return the largest product with a digit of that exponent; residual codes are below 2**8."""
    return Mux(residual, 1 << exponent << 8, 1 << exponent << (machine.acc_bits - 1))


def codes(machine: Machine, rounding: Rounding) -> Harness:
    """The code is the one that the contract defines, for every sum v, shift n, zero point and limits.

    With the remainder f = v - q * 2**n, q is v / 2**n rounded down when 0 <= f < 2**n; rounded to the nearest with ties
    up when -2**n <= 2 * f < 2**n; with ties to even when |2 * f| <= 2**n, and q is even where both are equal.
    The code is q + zero_out, or the limit that lies between.
    """
    m, geometry, mode = after_reset(), Geometry(machine), ROUNDING_MODES[rounding]
    m.submodules.dut = dut = Requantizer(geometry)
    value = constant(m, signed(machine.requant_bits), "value")
    zero, low, high = (constant(m, signed(geometry.code_bits), name) for name in ("zero_out", "low", "high"))
    shift, started = constant(m, dut.term.shift.shape(), "shift"), Signal()
    half = Signal(machine.requant_bits)
    m.d.sync += started.eq(1)
    m.d.comb += [dut.zero_out.eq(zero), dut.low.eq(low), dut.high.eq(high), dut.rounding.eq(mode),
                 half.eq(Mux((mode == HALF_UP) & (shift != 0), 1 << (shift - 1)[: len(shift)], 0)),
                 dut.execute.eq(~started), dut.term.first.eq(1), dut.term.last.eq(1), dut.term.start.eq(value + half),
                 dut.term.shift.eq(shift)]
    limit, most = 1 << (machine.requant_bits - 1), (1 << (geometry.code_bits - 1)) - 1
    reach(m, {f"compute.{name}": (value_, most) for name, value_ in (
        ("zero_out", zero), ("low", low), ("high", high))} if rounding == "half_up" else {
            "compute.rounding": (dut.rounding, max(ROUNDING_MODES.values()))} if rounding == "floor" else {})
    assume(m, (low <= high) & (shift < machine.acc_bits + machine.window) & (value + half < limit))
    ready = dut.execute
    for _ in range(CODE_STAGES):
        ready = past(m, ready, cleared=True)
    rounded = Signal(signed(machine.requant_bits))
    m.d.comb += rounded.eq(probe(m, "dut.floor", signed(machine.requant_bits)) + (
        probe(m, "dut.up", 1) if "half_even" in machine.roundings else 0))
    check(m, ~ready | _is_rounded(m, mode, value, rounded, shift), "the sum is rounded")
    moved = rounded + zero
    check(m, ~ready | ((low <= dut.code) & (dut.code <= high)), "the code is within its limits")
    check(m, ~ready | (dut.code == moved) | ((dut.code == low) & (moved < low)) | ((dut.code == high) & (moved > high)),
          "the code is moved to the zero point, or the limit")
    return m


def _is_rounded(m: Harness, mode: int, value: Value, rounded: Value, shift: Value) -> Value:
    """Return whether `rounded` is `value` / 2**shift in that mode, from the remainder."""
    wide = signed(2 * len(value))
    twice, unit = Signal(wide, name="twice_the_remainder"), Signal(wide, name="unit")
    m.d.comb += [twice.eq((value - (rounded << shift)) << 1), unit.eq(1 << shift)]
    if mode == FLOOR:
        return (0 <= twice) & (twice < 2 * unit)
    if mode == HALF_UP:
        return (-unit <= twice) & (twice < unit)
    return (-unit <= twice) & (twice <= unit) & (~rounded[0] | ((twice != unit) & (twice != -unit)))
