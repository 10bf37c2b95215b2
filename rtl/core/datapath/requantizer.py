"""The requantizer: a sum of shifted terms, rounded, moved to the output's zero point and clamped."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl.encoding.geometry import Geometry
from sim.functional.requantize import HALF_EVEN, HALF_UP
from sim.hardware.dimensions import PLANE_BITS
from sim.ir.formats import MAX_PLANES

__all__ = ["RequantTerm", "Requantizer"]


def term_layout(geometry: Geometry) -> data.StructLayout:
    """Return what a requantizer does in a cycle, the same for all columns: add a digit's worth of an operand.

    The digits of a gate are bits of the residual, so that they are present in some columns and absent in others.
    """
    return data.StructLayout({
        "first": 1,
        "last": 1,
        "residual": 1,
        "gated": 1,
        "plane": PLANE_BITS,
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
    packet : parameters of the channel
    rounding : rounding mode
    first : the term is the first one of its channel
    last : the term is the last one of its channel
    residual : the term is one of the residual
    gated : the term is one of the gate
    gate_exponent : exponent of the gate's lowest digit
    negative_plane : bit of the residual whose digit is negative; none if it is 8 or more
    index : number of the digit in its multiplier
    term : the term, for the requantizers of all columns
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__({
            "packet": In(geometry.packet_layout),
            "rounding": In(2),
            "first": In(1),
            "last": In(1),
            "residual": In(1),
            "gated": In(1),
            "gate_exponent": In(6),
            "negative_plane": In(PLANE_BITS + 1),
            "index": In(PLANE_BITS),
            "term": Out(term_layout(geometry)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        packet, term = self.packet, self.term
        digits = {0: packet.multiplier[self.index], 1: packet.residual[self.index]}
        half = Signal(self.geometry.machine.requant_bits)
        with m.If(self.rounding == HALF_UP):
            m.d.comb += half.eq((1 << packet.shift) >> 1)
        m.d.comb += [
            term.first.eq(self.first),
            term.last.eq(self.last),
            term.residual.eq(self.residual),
            term.gated.eq(self.gated),
            term.plane.eq(self.index),
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
        return m


class Requantizer(wiring.Component):
    """Compute exactly `sim.functional.requantize` for one column, one term per cycle.

    The code of a channel is on `code` two cycles after its last term.

    Members
    -------
    execute : a term is taken
    term : that term
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
        rounded = Signal(wide, reset_less=True)
        shift = Signal(len(self.term.shift), reset_less=True)
        summed = Signal(wide)
        complete = Signal()
        m.d.comb += summed.eq(self._sum(m, total))
        with m.If(self.execute):
            m.d.sync += [
                total.eq(summed),
                shift.eq(self.term.shift),
            ]
        m.d.sync += complete.eq(self.execute & self.term.last)
        with m.If(complete):
            m.d.sync += rounded.eq(self._round(m, total, shift))
        moved = Signal(signed(self.geometry.machine.requant_bits + 1))
        m.d.comb += [
            moved.eq(rounded + self.zero_out),
            self.code.eq(Mux(moved < self.low, self.low, Mux(moved > self.high, self.high, moved))),
        ]
        return m

    def _sum(self, m: Module, total: Value) -> Value:
        """Return the sum so far plus or minus the operand, shifted left by the digit's exponent."""
        wide = self.geometry.machine.requant_bits
        term = self.term
        acc = Signal.like(self.acc)
        operand = Signal(signed(wide))
        shifted = Signal(signed(wide))
        present = Signal()
        before = Signal(signed(wide))
        m.d.comb += [
            acc.eq(Mux(self.bipolar, (self.acc << 1) - self.reference, self.acc)),
            operand.eq(Mux(term.residual, self.residual, acc)),
            present.eq(term.present & (~term.gated | self.residual.bit_select(term.plane, 1))),
            shifted.eq(Mux(present, operand << term.exponent, 0)),
            before.eq(Mux(term.first, term.start, total)),
        ]
        return Mux(term.negative, before - shifted, before + shifted)

    def _round(self, m: Module, total: Value, shift: Value) -> Value:
        """Return the rounded sum: `half_up` has added its half already, `half_even` looks at the bits that drop out."""
        wide = self.geometry.machine.requant_bits
        floor = Signal(signed(wide))
        m.d.comb += floor.eq(total >> shift)
        if "half_even" not in self.geometry.machine.roundings:
            return floor
        unit = Signal(wide)
        dropped = Signal(wide)
        up = Signal()
        m.d.comb += [
            unit.eq(1 << shift),
            dropped.eq(total & (unit - 1)),
            up.eq((self.rounding == HALF_EVEN) & (shift != 0)
                  & ((dropped > (unit >> 1)) | ((dropped == (unit >> 1)) & floor[0]))),
        ]
        return floor + up
