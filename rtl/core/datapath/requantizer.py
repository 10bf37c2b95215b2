"""The requantizer: a sum of shifted terms, rounded, moved to the output's zero point and clamped."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl.encoding.geometry import Geometry
from sim.functional.requantize import HALF_EVEN, HALF_UP
from sim.hardware.dimensions import PLANE_BITS
from sim.ir.formats import MAX_PLANES

__all__ = ["CODE_STAGES", "RequantTerm", "Requantizer", "choice_layout", "term_layout"]

CODE_STAGES = 3
"""Cycles from taking the last term of a channel until its code is there: operand, sum, rounding."""


def choice_layout() -> data.StructLayout:
    """Return what a requantizer does in the first cycle of a term, the same for all columns: take an operand.

    The digits of a gate are bits of the residual, so that they are present in some columns and absent in others.
    """
    return data.StructLayout({"residual": 1, "gated": 1, "plane": PLANE_BITS})


def term_layout(geometry: Geometry) -> data.StructLayout:
    """Return what a requantizer does in the second cycle of a term, the same for all columns: add a digit's worth."""
    return data.StructLayout({
        "first": 1,
        "last": 1,
        "present": 1,
        "negative": 1,
        "exponent": 6,
        "shift": geometry.packet_layout["shift"].shape,
        "start": signed(geometry.machine.requant_bits),
    })


class RequantTerm(wiring.Component):
    """Look up the term of a channel: its digit, and what the sum starts from.

    Members
    -------
    execute : a term is looked up
    packet : parameters of the channel
    rounding : rounding mode
    first : the term is the first one of its channel
    last : the term is the last one of its channel
    residual : the term is one of the residual
    gated : the term is one of the gate
    gate_exponent : exponent of the gate's lowest digit
    negative_plane : bit of the residual whose digit is negative; none if it is 8 or more
    index : number of the digit in its multiplier
    choice : the operand of the term, for the requantizers of all columns
    term : the term in the cycle after that
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__({
            "execute": In(1),
            "packet": In(geometry.packet_layout),
            "rounding": In(2),
            "first": In(1),
            "last": In(1),
            "residual": In(1),
            "gated": In(1),
            "gate_exponent": In(6),
            "negative_plane": In(PLANE_BITS + 1),
            "index": In(PLANE_BITS),
            "choice": Out(choice_layout()),
            "term": Out(term_layout(geometry)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        packet, term = self.packet, Signal(term_layout(self.geometry), name="found")
        digits = {0: packet.multiplier[self.index], 1: packet.residual[self.index]}
        half = Signal(self.geometry.machine.requant_bits)
        with m.If(self.rounding == HALF_UP):
            m.d.comb += half.eq((1 << packet.shift) >> 1)
        m.d.comb += [
            self.choice.residual.eq(self.residual),
            self.choice.gated.eq(self.gated),
            self.choice.plane.eq(self.index),
            term.first.eq(self.first),
            term.last.eq(self.last),
            term.shift.eq(packet.shift),
            term.start.eq(packet.offset + half),
        ]
        with m.Switch(self.residual):
            for residual, digit in digits.items():
                with m.Case(residual):
                    m.d.comb += [
                        term.present.eq(digit.present),
                        term.negative.eq(digit.negative),
                        term.exponent.eq(digit.exponent),
                    ]
        with m.If(self.gated):
            m.d.comb += [
                term.present.eq(1),
                term.negative.eq(self.index == self.negative_plane),
                term.exponent.eq(self.gate_exponent + self.index),
            ]
        with m.If(self.execute):
            m.d.sync += self.term.eq(term)
        return m


class Requantizer(wiring.Component):
    """Compute exactly `sim.functional.requantize` for one column, one term per cycle.

    Stages: the operand of a term, its sum with the terms before, the rounded sum, and the code, which is on `code`
    three cycles after its last term was taken.

    Members
    -------
    execute : a term is taken
    choice : the operand of that term
    term : the term that was taken in the cycle before
    bipolar : weights are -1 and +1: the operand is 2 * acc - reference
    rounding : rounding mode
    zero_out : zero point of the output
    low : lowest code of the output
    high : highest code of the output
    acc : accumulator of the channel
    reference : accumulator of the reference row
    residual : code of the residual
    code : code of the channel
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        acc, code = signed(geometry.machine.acc_bits), signed(geometry.code_bits)
        super().__init__({
            "execute": In(1),
            "choice": In(choice_layout()),
            "term": In(term_layout(geometry)),
            "bipolar": In(1),
            "rounding": In(2),
            "zero_out": In(code),
            "low": In(code),
            "high": In(code),
            "acc": In(acc),
            "reference": In(acc),
            "residual": In(signed(MAX_PLANES + 1)),
            "code": Out(code),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wide = signed(self.geometry.machine.requant_bits)
        total = Signal(wide, reset_less=True)
        shift = Signal(len(self.term.shift), reset_less=True)
        summed = Signal(wide)
        taken = Signal()
        complete = Signal()
        operand, there = self._operand(m)
        m.d.comb += summed.eq(self._sum(m, total, operand, there))
        m.d.sync += taken.eq(self.execute)
        with m.If(taken):
            m.d.sync += [
                total.eq(summed),
                shift.eq(self.term.shift),
            ]
        m.d.sync += complete.eq(taken & self.term.last)
        floor, up = self._round(m, complete, total, shift)
        moved = Signal(signed(self.geometry.machine.requant_bits + 1))
        m.d.comb += [
            moved.eq((Cat(1, floor).as_signed() + Cat(up, self.zero_out).as_signed()) >> 1),
            self.code.eq(Mux(moved < self.low, self.low, Mux(moved > self.high, self.high, moved))),
        ]
        return m

    def _operand(self, m: Module) -> tuple[Signal, Signal]:
        """Take the operand of a term, and whether a gate's digit is there in this column."""
        wide = signed(max(self.geometry.machine.acc_bits, MAX_PLANES + 1))
        choice = self.choice
        acc = Signal.like(self.acc)
        operand = Signal(wide, reset_less=True)
        there = Signal(reset_less=True)
        m.d.comb += acc.eq(Mux(self.bipolar, (self.acc << 1) - self.reference, self.acc))
        with m.If(self.execute):
            m.d.sync += [
                operand.eq(Mux(choice.residual, self.residual, acc)),
                there.eq(~choice.gated | self.residual.bit_select(choice.plane, 1)),
            ]
        return operand, there

    def _sum(self, m: Module, total: Value, operand: Value, there: Value) -> Value:
        """Return the sum so far plus or minus the operand, shifted left by the digit's exponent."""
        wide = self.geometry.machine.requant_bits
        term = self.term
        shifted = Signal(signed(wide))
        before = Signal(signed(wide))
        m.d.comb += [
            shifted.eq(Mux(term.present & there, operand << term.exponent, 0)),
            before.eq(Mux(term.first, term.start, total)),
        ]
        return Mux(term.negative, before - shifted, before + shifted)

    def _round(self, m: Module, complete: Value, total: Value, shift: Value) -> tuple[Value, Value]:
        """Return the sum rounded down, and whether one must be added to it.

        `half_up` has added its half already, `half_even` looks at the bits that drop out: at the highest of them, at
        the others, and at the lowest bit that stays.
        """
        wide = self.geometry.machine.requant_bits
        floor = Signal(signed(wide), reset_less=True)
        shifted = Signal(signed(wide))
        m.d.comb += shifted.eq(total >> shift)
        with m.If(complete):
            m.d.sync += floor.eq(shifted)
        if "half_even" not in self.geometry.machine.roundings:
            return floor, Const(0, 1)
        up = Signal(reset_less=True)
        half = Signal(wide)
        tie = Signal()
        m.d.comb += [
            half.eq((1 << shift) >> 1),
            tie.eq((total & (half - 1)) == 0),
        ]
        with m.If(complete):
            m.d.sync += up.eq((self.rounding == HALF_EVEN) & (total & half).any() & (~tie | shifted[0]))
        return floor, up
