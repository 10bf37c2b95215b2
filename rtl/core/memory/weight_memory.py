"""Weight memory: a bank per row with two slots, and the words that are generated instead of stored."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.core.interfaces import WeightPlanes, WeightRead
from rtl.core.memory.sram import Sram
from rtl.encoding.geometry import Geometry
from sim.hardware.dimensions import PLANE_BITS

__all__ = ["WeightMemory"]


class WeightMemory(wiring.Component):
    """Give weight planes to the operand registers of the rows, one cycle after their address.

    Members
    -------
    descriptor : of the op that issues
    write : the rows that take a word, a bit each
    write_slot : slot of these words
    write_address : number of these words within their slot
    data : the word of each row
    request : reads of weight words
    planes : planes for the weight operands
    read_rows : the rows whose bank is read in this cycle, a bit each
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        rows, lanes = geometry.rows, geometry.lanes
        super().__init__({
            "descriptor": In(geometry.descriptor),
            "write": In(rows),
            "write_slot": In(1),
            "write_address": In(geometry.weight_address_bits),
            "data": In(lanes).array(rows),
            "request": In(WeightRead(geometry)),
            "planes": Out(WeightPlanes(geometry)),
            "read_rows": Out(rows),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        address = Signal(self.geometry.weight_address_bits)
        slot = Signal()
        rows = Signal(self.geometry.rows + 1)
        plane = Signal(PLANE_BITS)
        chosen = Signal()
        depthwise_unit = Signal()
        d, request, every = self.descriptor, self.request, (1 << self.geometry.rows) - 1
        m.d.sync += [
            rows.eq(Mux(request.read, Cat(Mux(d.depthwise_unit, d.plane_rows,
                                              Mux(request.last_row_tile, d.last_tile_rows, every)), d.bipolar), 0)),
            depthwise_unit.eq(d.depthwise_unit),
            self.planes.rows.eq(Mux(depthwise_unit, 0, rows)),
            plane.eq(self.request.plane),
            self.planes.plane.eq(plane),
            chosen.eq(self.request.set),
            self.planes.set.eq(chosen),
        ]
        with m.If(self.request.read):
            m.d.sync += [
                address.eq(Mux(self.request.first, 0, address + 1)),
                slot.eq(self.request.slot),
            ]
        unit, generated = self._generated(m)
        m.d.comb += self.read_rows.eq(Mux(unit, 0, rows))
        shown = Signal()
        m.d.sync += shown.eq(unit)
        for r in range(self.geometry.rows):
            stored = self._bank(m, r, slot, address)
            own = Cat(lane for group in range(self.geometry.lane_slices)
                      for lane in (generated[group * self.geometry.rows + r] if r == i else Const(0, 1)
                                   for i in range(self.geometry.rows)))
            m.d.comb += self.planes.word[r].eq(Mux(shown, own, stored))
        m.d.comb += self.planes.word[self.geometry.rows].eq(generated)
        return m

    def _bank(self, m: Module, r: int, slot: Value, address: Value) -> Value:
        """Add the bank of a row, with slot 1 after slot 0."""
        words = self.geometry.machine.weight_words
        ram = Sram(self.geometry.lanes, 2 * words)
        m.submodules[f"bank_{r}"] = ram
        m.d.comb += [
            ram.wen.eq(self.write[r]),
            ram.wdata.eq(self.data[r]),
            ram.waddr.eq(self.write_address + Mux(self.write_slot, words, 0)),
            ram.ren.eq(self.read_rows[r]),
            ram.raddr.eq(address + Mux(slot, words, 0)),
        ]
        return ram.rdata

    def _generated(self, m: Module) -> tuple[Value, Value]:
        """Generate the lanes with a channel (the reference row), or for `unit` weights the row tile's own lanes.

        Such weights have one bit, so packing taps would only trade blocks for longer steps, and a block is one tap.
        """
        d, rows = self.descriptor, self.geometry.rows
        word = Signal(self.geometry.lanes)
        shown = Signal(self.geometry.lanes)
        unit = Signal()
        for lane in range(self.geometry.lanes):
            with m.If(self.request.read):
                own = self.request.tile_lane == (lane & -rows)
                m.d.sync += word[lane].eq(Mux(d.unit, own, lane < self.request.part_lanes))
        m.d.sync += [
            unit.eq(d.unit),
            shown.eq(word),
        ]
        return unit, shown
