"""The bounds guard: suppress accesses that would leave their tensor, and stop at descriptors that no engine can run."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.core.interfaces import BankRead, FaultReport, PixelRead, PixelWrite, bypasses_array
from rtl.encoding.geometry import Geometry, exceeds
from sim.functional.requantize import ROUNDING_MODES
from sim.ir.formats import MAX_PLANES

__all__ = ["BoundsGuard"]


class BoundsGuard(wiring.Component):
    """Let accesses inside their tensor pass; remember the first fault of each kind until reset.

    Members
    -------
    head : descriptor of the op that issues
    fresh : `head` was just read
    running : descriptor of the op whose accesses these are
    operand_i : operand reads as requested
    operand_o : operand reads that stay inside their tensor
    residual_i : residual reads as requested
    residual_o : residual reads that stay inside their tensor
    write_i : writes of the output as requested
    write_o : writes of the output that stay inside their tensor
    inward : a fault that the load DMA found
    outward : a fault that the store DMA found
    violation : an access would have left its tensor
    illegal : an entry of a table breaks a limit of the machine
    halt : there is a fault of either kind
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__({
            "head": In(geometry.descriptor),
            "fresh": In(1),
            "running": In(geometry.descriptor),
            "operand_i": In(BankRead(geometry)),
            "operand_o": Out(BankRead(geometry)),
            "residual_i": In(PixelRead(geometry)),
            "residual_o": Out(PixelRead(geometry)),
            "write_i": In(PixelWrite(geometry)),
            "write_o": Out(PixelWrite(geometry)),
            "inward": In(FaultReport(geometry)),
            "outward": In(FaultReport(geometry)),
            "violation": Out(FaultReport(geometry)),
            "illegal": Out(FaultReport(geometry)),
            "halt": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.running
        violated = Signal()
        operand_outside = Signal(self.geometry.columns)
        residual_outside = Signal()
        write_outside = Signal(self.geometry.columns)
        m.d.comb += [
            operand_outside.eq(Cat(self._outside(a, d.in_first, d.in_last) for a in self.operand_i.address)),
            write_outside.eq(Cat(self._outside(a, d.out_first, d.out_last) for a in self.write_i.address)),
            residual_outside.eq(self._outside(self.residual_i.address, d.residual_first, d.residual_last)),
            self.halt.eq(self.violation.found | self.illegal.found),
            self.operand_o.read.eq(Mux(self.halt, 0, self.operand_i.read & ~operand_outside)),
            self.residual_o.read.eq(Mux(self.halt | residual_outside, 0, self.residual_i.read)),
            self.write_o.write.eq(Mux(self.halt, 0, self.write_i.write & ~write_outside)),
            violated.eq((self.operand_i.read & operand_outside).any() | (self.residual_i.read.any() & residual_outside)
                        | (self.write_i.write & write_outside).any()),
        ]
        self._pass(m)
        with m.If(violated & ~self.halt):
            m.d.sync += [
                self.violation.found.eq(1),
                self.violation.op.eq(d.op),
            ]
        looked_at = Signal()
        m.d.sync += looked_at.eq(self.fresh)
        for found, op in ((looked_at & self._illegal(m), self.head.op),
                              (self.inward.found, self.inward.op), (self.outward.found, self.outward.op)):
            with m.If(found & ~self.halt):
                m.d.sync += [
                    self.illegal.found.eq(1),
                    self.illegal.op.eq(op),
                ]
        return m

    def _pass(self, m: Module) -> None:
        """Pass on everything of an access but whether it is made."""
        m.d.comb += [
            self.residual_o.address.eq(self.residual_i.address),
            self.write_o.slices.eq(self.write_i.slices),
        ]
        for c in range(self.geometry.columns):
            m.d.comb += [
                self.operand_o.address[c].eq(self.operand_i.address[c]),
                self.operand_i.data[c].eq(self.operand_o.data[c]),
                self.residual_i.data[c].eq(self.residual_o.data[c]),
                self.write_o.address[c].eq(self.write_i.address[c]),
                self.write_o.data[c].eq(self.write_i.data[c]),
            ]

    def _outside(self, address: Value, first: Value, last: Value) -> Value:
        return (address < first) | (address > last)

    def _illegal(self, m: Module) -> Value:
        """Return whether a number of `head` is beyond the machine, or the op could never end."""
        d, most = self.head, self.geometry.bank_words - 1
        always = Signal()
        conv = Signal()
        m.d.comb += [
            always.eq(exceeds(d.bits_a, self.geometry.machine.max_bits_a - 1) | exceeds(d.in_last, most)
                      | exceeds(d.out_last, most)),
            conv.eq(self._array_limits() | self._step_limits() | self._lane_limits() | self._requantizer_limits(m)),
        ]
        return always | Mux(bypasses_array(d), d.depthwise_unit, conv)

    def _array_limits(self) -> Value:
        d, machine = self.head, self.geometry.machine
        return (exceeds(d.bits_w, machine.max_bits_w - 1) | exceeds(d.chunk_pixels, machine.acc_depth - 1)
                | exceeds(d.last_chunk_pixels, machine.acc_depth - 1) | (d.bipolar & (not machine.bipolar)))

    def _step_limits(self) -> Value:
        """Refuse a step that ends before it launches, or before its groups have moved: its tile would stay open."""
        d = self.head
        return (d.launch_at + d.tile_channel_groups > d.step_cycles) | (
            ~d.depthwise_unit & (d.weights_from + d.bits_w != d.launch_at))

    def _lane_limits(self) -> Value:
        """Refuse groups in other layers than those of the depthwise lanes, and on machines without such lanes."""
        d, groups, depth = self.head, self.geometry.tile_channel_groups, self.geometry.machine.acc_depth
        if not self.geometry.depthwise_lanes:
            return d.depthwise_unit | (d.tile_channel_groups != 0) | (d.last_tile_channel_groups != 0)
        pixels = exceeds(d.chunk_pixels, depth // groups - 1) | exceeds(d.last_chunk_pixels, depth // groups - 1)
        return Mux(d.depthwise_unit,
                   exceeds(d.tile_channel_groups, groups - 1)
                   | (d.last_tile_channel_groups > d.tile_channel_groups) | pixels,
                   (d.tile_channel_groups != 0) | (d.last_tile_channel_groups != 0))

    def _requantizer_limits(self, m: Module) -> Value:
        """Refuse a slot too short for all terms of a pixel, for writing it, or for reading its residual.

        Terms and planes were counted in the cycle before, in which `head` was read.
        """
        d, machine, slot = self.head, self.geometry.machine, self.head.requant_cycles
        per_unit = self.geometry.rows_per_unit.bit_length() - 1
        known = Cat(d.rounding == ROUNDING_MODES[mode] for mode in machine.roundings).any()
        terms = Signal(range(2 * machine.terms + MAX_PLANES + 1))
        planes = Signal(range((machine.acc_bits << self.geometry.column_bits) + 1))
        m.d.sync += [
            terms.eq(d.terms + d.residual_terms + d.gate_terms),
            planes.eq((d.bits_out + 1) * (d.out_phases + 1)),
        ]
        residual = ((d.residual_bits > slot) | exceeds(d.residual_bits, machine.max_bits_a - 1)
                    | exceeds(d.residual_last, self.geometry.bank_words - 1))
        return (((d.terms == 0) & (d.gate_terms == 0)) | exceeds(d.terms, machine.terms)
                | exceeds(d.residual_terms, machine.terms) | exceeds(d.gate_terms, MAX_PLANES)
                | ((terms << per_unit) > slot + 1) | (planes > slot + 1) | exceeds(d.bits_out, machine.acc_bits - 1)
                | ~known | (d.has_residual & residual) | (d.table & (self.geometry.table_words == 0)))
