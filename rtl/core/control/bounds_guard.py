"""The bounds guard: suppress accesses that would leave their tensor, and stop at descriptors that no engine can run."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.encoding.geometry import Geometry, exceeds
from sim.functional.requantize import ROUNDING_MODES

__all__ = ["BoundsGuard"]


class BoundsGuard(wiring.Component):
    """Let accesses inside their tensor pass; remember the first fault of each kind until reset.

    Members
    -------
    head, fresh : the descriptor that was just read
    running : that of the op whose accesses these are
    operand, operand_address, residual, residual_address, write, write_address : accesses, by bank
    operand_allowed, residual_allowed, write_allowed : those that pass
    inward_illegal, inward_op, outward_illegal, outward_op : faults that the stream engines found
    violation, violation_op : an access would have left its tensor; in which op
    illegal, illegal_op : an entry breaks a limit; of which op
    halt : either of them
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        columns, address, op = geometry.columns, geometry.address_bits, geometry.op_bits
        super().__init__({
            "head": In(geometry.descriptor),
            "fresh": In(1),
            "running": In(geometry.descriptor),
            "operand": In(columns),
            "operand_address": In(address).array(columns),
            "operand_allowed": Out(columns),
            "residual": In(columns),
            "residual_address": In(address),
            "residual_allowed": Out(columns),
            "write": In(columns),
            "write_address": In(address),
            "write_allowed": Out(columns),
            "inward_illegal": In(1),
            "inward_op": In(op),
            "outward_illegal": In(1),
            "outward_op": In(op),
            "violation": Out(1),
            "violation_op": Out(op),
            "illegal": Out(1),
            "illegal_op": Out(op),
            "halt": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.running
        violated = Signal()
        operand_outside = Cat(self._outside(a, d.in_first, d.in_last) for a in self.operand_address)
        residual_outside = Signal()
        write_outside = Signal()
        m.d.comb += [
            residual_outside.eq(self._outside(self.residual_address, d.residual_first, d.residual_last)),
            write_outside.eq(self._outside(self.write_address, d.out_first, d.out_last)),
            self.halt.eq(self.violation | self.illegal),
            self.operand_allowed.eq(Mux(self.halt, 0, self.operand & ~operand_outside)),
            self.residual_allowed.eq(Mux(self.halt | residual_outside, 0, self.residual)),
            self.write_allowed.eq(Mux(self.halt | write_outside, 0, self.write)),
            violated.eq((self.operand & operand_outside).any() | (self.residual.any() & residual_outside)
                        | (self.write.any() & write_outside)),
        ]
        with m.If(violated & ~self.halt):
            m.d.sync += [
                self.violation.eq(1),
                self.violation_op.eq(d.op),
            ]
        for found, op in ((self.fresh & self._illegal(m), self.head.op),
                              (self.inward_illegal, self.inward_op), (self.outward_illegal, self.outward_op)):
            with m.If(found & ~self.halt):
                m.d.sync += [
                    self.illegal.eq(1),
                    self.illegal_op.eq(op),
                ]
        return m

    def _outside(self, address: Value, first: Value, last: Value) -> Value:
        return (address < first) | (address > last)

    def _illegal(self, m: Module) -> Value:
        """Whether a number of `head` is beyond the machine, or the op could never end."""
        d, most = self.head, self.geometry.bank_words - 1
        always = Signal()
        conv = Signal()
        m.d.comb += [
            always.eq(exceeds(d.bits_a, self.geometry.machine.max_bits_a - 1) | exceeds(d.in_last, most)
                      | exceeds(d.out_last, most)),
            conv.eq(self._array_limits() | self._step_limits() | self._lane_limits() | self._requantizer_limits(m)),
        ]
        return always | Mux(d.pool, d.lanewise, conv)

    def _array_limits(self) -> Value:
        d, machine = self.head, self.geometry.machine
        return (exceeds(d.bits_w, machine.max_bits_w - 1) | exceeds(d.chunk_pixels, machine.acc_depth - 1)
                | exceeds(d.last_chunk_pixels, machine.acc_depth - 1) | (d.bipolar & (not machine.bipolar)))

    def _step_limits(self) -> Value:
        """A step that ends before it launches, or before its groups have moved, would never complete its tile."""
        d = self.head
        return (d.launch_at + d.groups > d.step_cycles) | (~d.lanewise & (d.weights_from + d.bits_w != d.launch_at))

    def _lane_limits(self) -> Value:
        """Only the depthwise lanes know groups, and only a machine that has such lanes."""
        d, groups, depth = self.head, self.geometry.lane_groups, self.geometry.machine.acc_depth
        if not self.geometry.depthwise_lanes:
            return d.lanewise | (d.groups != 0) | (d.last_groups != 0)
        pixels = exceeds(d.chunk_pixels, depth // groups - 1) | exceeds(d.last_chunk_pixels, depth // groups - 1)
        return Mux(d.lanewise, exceeds(d.groups, groups - 1) | (d.last_groups > d.groups) | pixels,
                   (d.groups != 0) | (d.last_groups != 0))

    def _requantizer_limits(self, m: Module) -> Value:
        """A pixel's slot must have the time to take all terms, to write a pixel and to read a residual."""
        d, machine, slot = self.head, self.geometry.machine, self.head.requant_cycles
        per_unit = self.geometry.rows_per_unit.bit_length() - 1
        known = Cat(d.rounding == ROUNDING_MODES[mode] for mode in machine.roundings).any()
        terms = Signal(range(2 * machine.terms + 1))
        m.d.comb += terms.eq(d.terms + d.residual_terms)
        residual = ((d.residual_bits > slot) | exceeds(d.residual_bits, machine.max_bits_a - 1)
                    | exceeds(d.residual_last, self.geometry.bank_words - 1))
        return ((d.terms == 0) | exceeds(d.terms, machine.terms) | exceeds(d.residual_terms, machine.terms)
                | ((terms << per_unit) > slot + 1) | (d.bits_out > slot) | exceeds(d.bits_out, machine.acc_bits - 1)
                | ~known | (d.has_residual & residual))
