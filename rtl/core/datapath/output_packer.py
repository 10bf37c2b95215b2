"""The packer: codes of a pixel become planes, which go to the banks of the columns' rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.core.addressing.output_agu import OutputAgu
from rtl.core.datapath.requantizer import CODE_STAGES
from rtl.core.interfaces import CodeCapture, PixelWrite
from rtl.encoding.geometry import Geometry

__all__ = ["START_STAGES", "OutputPacker"]

START_STAGES = CODE_STAGES + 1
"""Cycles after a slot until its last code is in the set; a table takes one more."""


class OutputPacker(wiring.Component):
    """Two sets of shift registers per column: one takes codes while the other gives out planes, lowest first.

    The row of a column may lie in the bank of another one. A plane takes a phase more for every other column whose row
    lies in the same bank.

    Members
    -------
    descriptor : of the op that runs
    begun : first cycle of an op
    slot_end : last cycle of a pixel in the requantizers
    capture : codes that are ready
    code : codes of the requantizers, unit by unit and column by column
    write : planes of the output
    done : the last plane of the op is being written
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        units, columns = geometry.units, geometry.columns
        super().__init__({
            "descriptor": In(geometry.descriptor),
            "begun": In(1),
            "slot_end": In(1),
            "capture": In(CodeCapture(geometry)),
            "code": In(signed(geometry.code_bits)).array(units, columns),
            "write": Out(PixelWrite(geometry)),
            "done": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.descriptor
        m.submodules.agu = agu = OutputAgu(self.geometry, lattice=True)
        waiting = Signal(START_STAGES + 1 if self.geometry.table_words else START_STAGES)
        start = Signal()
        active = Signal()
        plane = Signal(6)
        phase = Signal(self.geometry.column_bits)
        last_phase = Signal()
        pixel_set = Signal()
        last = Signal()
        m.d.sync += waiting.eq(Cat(self.slot_end, waiting[:-1]))
        m.d.comb += [
            start.eq(Mux(d.table, waiting[-1], waiting[START_STAGES - 1])),
            agu.descriptor.eq(d),
            agu.base.eq(d.out_base),
            agu.step.eq(d.out_step),
            agu.row_step.eq(d.out_row_step),
            agu.block_step.eq(d.out_block_step),
            agu.reset.eq(self.begun),
            agu.advance.eq(last),
            last_phase.eq(phase == d.out_phases),
            last.eq(active & last_phase & (plane == d.bits_out)),
        ]
        m.d.sync += [
            self.done.eq(last & agu.last),
            self.write.slices.eq(1 << agu.group),
            active.eq(start | (active & ~last)),
            plane.eq(Mux(active & ~last, plane + last_phase, 0)),
            phase.eq(Mux(active & ~last_phase, phase + 1, 0)),
        ]
        with m.If(last):
            m.d.sync += pixel_set.eq(~pixel_set)
        with m.If(self.begun):
            m.d.sync += pixel_set.eq(0)
        words = [self._column(m, c, active & last_phase, pixel_set) for c in range(self.geometry.columns)]
        shown = Signal(self.geometry.columns)
        m.d.comb += shown.eq(Cat(active & agu.columns[c] & (d.out_phase[c] == phase)
                                 for c in range(self.geometry.columns)))
        self._switch(m, words, shown, agu.address + plane)
        return m

    def _switch(self, m: Module, words: Sequence[Value], shown: Value, address: Value) -> None:
        """Give each bank, a cycle later, the plane of the column whose row lies there.

        No two columns of a phase have the same bank.
        """
        d = self.descriptor
        for b in range(self.geometry.columns):
            plane = Signal(self.geometry.rows, name=f"written_{b}", reset_less=True)
            comes = Signal(self.geometry.columns, name=f"comes_{b}")
            m.d.comb += comes.eq(Cat(shows & (d.out_bank[c] == b) for c, shows in enumerate(shown)))
            word = reduce(or_, (word & come.replicate(len(word)) for word, come in zip(words, comes, strict=True)))
            quotient = reduce(or_, (d.out_quotient[c] & come.replicate(len(d.out_quotient[c]))
                                    for c, come in enumerate(comes)))
            m.d.comb += self.write.data[b].eq(plane.replicate(self.geometry.lane_slices))
            m.d.sync += self.write.write[b].eq(comes.any())
            with m.If(comes.any()):
                m.d.sync += [
                    self.write.address[b].eq(address + quotient),
                    plane.eq(word),
                ]

    def _column(self, m: Module, c: int, shift: Value, pixel_set: Signal) -> Signal:
        """Add the registers of a column, whose set that is given out shifts by a plane; the plane."""
        per_unit = self.geometry.rows_per_unit
        bits = []
        for s in range(2):
            shifts = Signal(name=f"shift_{c}_{s}")
            takes = Signal(name=f"take_{c}_{s}")
            m.d.comb += [
                shifts.eq(shift & (pixel_set == s)),
                takes.eq(self.capture.columns[c] & (self.capture.set == s)),
            ]
            codes = [Signal(self.geometry.machine.acc_bits, name=f"code_{c}_{s}_{r}", reset_less=True)
                     for r in range(self.geometry.rows)]
            for r, code in enumerate(codes):
                unit, row = divmod(r, per_unit)
                with m.If(takes & self.capture.units[unit] & (self.capture.row == row)):
                    m.d.sync += code.eq(self.code[unit][c])
                with m.Elif(shifts):
                    m.d.sync += code.eq(code >> 1)
            bits.append([code[0] for code in codes])
        plane = Signal(self.geometry.rows, name=f"plane_{c}")
        m.d.comb += plane.eq(Mux(pixel_set, Cat(bits[1]), Cat(bits[0])))
        return plane
