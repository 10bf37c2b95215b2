"""Parameter memory: the requantizer's numbers of every output channel, four row tiles deep."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from rtl.core.memory.sram import Sram
from rtl.encoding.geometry import Geometry

__all__ = ["ParameterMemory"]


class ParameterMemory(wiring.Component):
    """Hold the requantizers' parameters: a bank for each row, whose words are packets, written in pieces of L bits.

    Members
    -------
    write : the rows whose packet takes a piece, a bit each
    write_slot : slot of these packets
    write_word : number of the piece
    data : the piece of each row
    read : the rows whose packet is read, a bit each
    read_slot : slot of these packets
    packet : packet of each row, from the cycle after its read on
    """

    def __init__(self, geometry: Geometry, word_bits: int) -> None:
        self.geometry = geometry
        rows, slot = geometry.rows, ceil_log2(geometry.parameter_slots)
        super().__init__({
            "write": In(rows),
            "write_slot": In(slot),
            "write_word": In(word_bits),
            "data": In(geometry.lanes).array(rows),
            "read": In(rows),
            "read_slot": In(slot),
            "packet": Out(geometry.packet_layout).array(rows),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        packet, lanes = self.geometry.packet, self.geometry.lanes
        slots = self.geometry.parameter_slots
        for r in range(self.geometry.rows):
            m.submodules[f"bank_{r}"] = ram = Sram(packet * lanes, slots, granule=lanes)
            m.d.comb += [
                ram.wen.eq(self.write[r]),
                ram.waddr.eq(self.write_slot),
                ram.wdata.eq(self.data[r].replicate(packet)),
                ram.wmask.eq(1 << self.write_word),
                ram.ren.eq(self.read[r]),
                ram.raddr.eq(self.read_slot),
                self.packet[r].eq(ram.rdata),
            ]
        return m
