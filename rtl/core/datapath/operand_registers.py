"""Operand registers: the planes that a row or a column works on, shared by all its processing elements."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from sim.hardware.dimensions import PLANE_BITS

__all__ = ["OperandRegisters"]


class OperandRegisters(wiring.Component):
    """Two sets of planes; one is filled while the other is read.

    Parameters
    ----------
    planes : int
        Planes of a set.
    lanes : int
        Bits of a plane.

    Members
    -------
    write : a plane takes `data`
    write_set : set of that plane
    write_plane : number of that plane
    write_mask : the lanes that take it, a bit each
    data : what they take
    select : `word` takes a plane
    read_set : set of that plane
    read_plane : number of that plane
    word : the plane that was selected last
    """

    def __init__(self, planes: int, lanes: int) -> None:
        self.lanes, self.plane_bits = lanes, ceil_log2(planes)
        super().__init__({
            "write": In(1),
            "write_set": In(1),
            "write_plane": In(PLANE_BITS),
            "write_mask": In(lanes),
            "data": In(lanes),
            "select": In(1),
            "read_set": In(1),
            "read_plane": In(PLANE_BITS),
            "word": Out(lanes),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = Signal(self.lanes << (self.plane_bits + 1), reset_less=True)
        word = Signal(self.lanes, reset_less=True)
        target = words.word_select(Cat(self.write_plane[: self.plane_bits], self.write_set), self.lanes)
        source = words.word_select(Cat(self.read_plane[: self.plane_bits], self.read_set), self.lanes)
        with m.If(self.write):
            m.d.sync += target.eq((target & ~self.write_mask) | (self.data & self.write_mask))
        with m.If(self.select):
            m.d.sync += word.eq(source)
        m.d.comb += self.word.eq(word)
        return m
