"""Table memory: for every requantizer the function in which a Conv ends, and the one of the next such Conv."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.core.interfaces import CodeCapture
from rtl.core.memory.sram import Sram
from rtl.encoding.geometry import Geometry

__all__ = ["TableMemory"]


class TableMemory(wiring.Component):
    """Look up codes: a bank of two slots for each unit of each column; all banks hold the same.

    Members
    -------
    write : all banks take a word
    write_slot : slot of that word
    write_word : number of that word within its slot
    data : that word
    op_done : the op that used a slot ends; the next one uses the other slot
    ready : codes that are looked up in this cycle
    index : codes of the requantizers, unit by unit and column by column
    code : what the table has there, from the cycle after the look-up on
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        units, columns = geometry.units, geometry.columns
        super().__init__({
            "write": In(1),
            "write_slot": In(1),
            "write_word": In(geometry.table_address_bits),
            "data": In(geometry.table_word_bits),
            "op_done": In(1),
            "ready": In(CodeCapture(geometry)),
            "index": In(geometry.machine.table_bits).array(units, columns),
            "code": Out(geometry.table_code_bits).array(units, columns),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        slot = Signal()
        with m.If(self.op_done):
            m.d.sync += slot.eq(~slot)
        for unit in range(self.geometry.units):
            for c in range(self.geometry.columns):
                self._bank(m, unit, c, slot)
        return m

    def _bank(self, m: Module, unit: int, c: int, slot: Signal) -> None:
        """Add the bank of a requantizer; a word holds the codes of consecutive indices, of which one is chosen."""
        width, code = self.geometry.table_word_bits, self.geometry.table_code_bits
        m.submodules[f"bank_{unit}_{c}"] = ram = Sram(width, 2 * self.geometry.table_words)
        index = self.index[unit][c]
        within = min((width // code).bit_length() - 1, len(index))
        place = Signal(within, name=f"place_{unit}_{c}")
        words = len(ram.raddr) - 1
        m.d.comb += [
            ram.wen.eq(self.write),
            ram.waddr.eq(Cat(self.write_word[:words], self.write_slot)),
            ram.wdata.eq(self.data),
            ram.ren.eq(self.ready.units[unit] & self.ready.columns[c]),
            ram.raddr.eq(Cat(index[within:], slot)),
            self.code[unit][c].eq(ram.rdata.word_select(place, code)),
        ]
        with m.If(ram.ren):
            m.d.sync += place.eq(index[:within])
