"""Max pooling: bit-serial comparators that go through the planes from the top and know each of the maximum at once."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.core.interfaces import OperandEngine
from rtl.encoding.geometry import Geometry
from sim.hardware.dimensions import PLANE_BITS
from sim.ir.formats import MAX_PLANES

__all__ = ["MaxPool", "MaxPoolColumn"]


class MaxPoolColumn(wiring.Component):
    """Compare the codes of one column, a lane each. Codes are offset binary, so the smallest is all zeros.

    Members
    -------
    take : a plane of the next tap arrived
    word : that plane
    plane : number of that plane
    top : it is the highest plane
    first : it belongs to the window's first tap, which replaces the maximum
    show : number of a plane
    maximum : that plane of the maximum
    """

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__({
            "take": In(1),
            "word": In(lanes),
            "plane": In(PLANE_BITS),
            "top": In(1),
            "first": In(1),
            "show": In(PLANE_BITS),
            "maximum": Out(lanes),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes, every = self.lanes, (1 << self.lanes) - 1
        best = Signal(MAX_PLANES * lanes, reset_less=True)
        equal = Signal(lanes, reset_less=True)
        greater = Signal(lanes, reset_less=True)
        equal_before = Signal(lanes)
        greater_before = Signal(lanes)
        greater_now = Signal(lanes)
        old = Signal(lanes)
        new = Signal(lanes)
        place = best.word_select(self.plane, lanes)
        m.d.comb += [
            old.eq(Mux(self.first, 0, place)),
            equal_before.eq(Mux(self.top, every, equal)),
            greater_before.eq(Mux(self.top, 0, greater)),
            greater_now.eq(greater_before | (equal_before & self.word & ~old)),
            new.eq((greater_now & self.word) | (~greater_now & old)),
            self.maximum.eq(best.word_select(self.show, lanes)),
        ]
        with m.If(self.take):
            m.d.sync += [
                place.eq(new),
                greater.eq(greater_now),
                equal.eq(equal_before & ~(self.word ^ old)),
            ]
        return m


class MaxPool(wiring.Component):
    """Compare the codes of all columns, and write a plane as soon as that of the last tap was compared.

    Its interface is `rtl.core.interfaces.OperandEngine`.

    Members
    -------
    descriptor : of the op that runs
    begun : first cycle of an op
    op_issued : the next cycle reads the last operand of a Pool
    arrived : what goes along with the words
    word : operand word of each column
    write : planes of the output
    done : the last plane of the op is being written
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(OperandEngine(geometry))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d, arrived = self.descriptor, self.arrived
        top = arrived.plane == d.bits_a
        flipped = Signal()
        compared = Signal.like(arrived)
        show_flip = Signal()
        m.d.comb += flipped.eq(d.signed_a & top)
        m.d.sync += [
            compared.eq(arrived),
            show_flip.eq(flipped),
            self.write.write.eq(Mux(d.pool & compared.last_segment, compared.strobe, 0)),
        ]
        for c in range(self.geometry.columns):
            m.submodules[f"column_{c}"] = column = MaxPoolColumn(self.geometry.lanes)
            m.d.comb += [
                column.take.eq(d.pool & arrived.strobe[c]),
                column.plane.eq(arrived.plane),
                column.top.eq(top),
                column.word.eq(self._flip(self.word[c], flipped)),
                column.first.eq(arrived.first_segment),
                column.show.eq(compared.plane),
            ]
            with m.If(compared.strobe[c]):
                m.d.sync += self.write.data[c].eq(self._flip(column.maximum, show_flip))
        self._addresses(m, compared)
        self._finish(m)
        return m

    def _flip(self, word: Value, flip: Value) -> Value:
        """Invert the sign plane: two's complement to offset binary and back."""
        return word ^ flip.replicate(self.geometry.lanes)

    def _addresses(self, m: Module, compared: Value) -> None:
        """Walk over the pixels of a channel block, then over the next block."""
        d = self.descriptor
        pixel = Signal(self.geometry.address_bits)
        block = Signal(self.geometry.address_bits)
        plane = Signal(self.geometry.address_bits)
        block_after = Signal.like(block)
        m.d.comb += [
            block_after.eq(block + d.out_block_step),
            *(address.eq(plane) for address in self.write.address),
            self.write.slices.eq((1 << self.geometry.lane_slices) - 1),
        ]
        m.d.sync += plane.eq(pixel + compared.plane)
        with m.If(self.begun):
            m.d.sync += [
                pixel.eq(d.out_base),
                block.eq(d.out_base),
            ]
        with m.Elif(compared.pixel_done & compared.block_done):
            m.d.sync += [
                pixel.eq(block_after),
                block.eq(block_after),
            ]
        with m.Elif(compared.pixel_done):
            m.d.sync += pixel.eq(pixel + d.out_step)

    def _finish(self, m: Module) -> None:
        """Tell the last write, which follows the last issue by five cycles."""
        issued = self.op_issued
        for stage in range(5):
            after = Signal(name=f"issued_{stage}")
            m.d.sync += after.eq(issued)
            issued = after
        m.d.comb += self.done.eq(issued)
