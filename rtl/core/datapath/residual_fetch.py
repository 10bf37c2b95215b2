"""The residual fetch: the codes that the requantizer adds, a pixel ahead of it."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.core.addressing.output_agu import OutputAgu
from rtl.core.interfaces import PixelRead
from rtl.encoding.geometry import Geometry
from sim.hardware.dimensions import PLANE_BITS
from sim.ir.formats import MAX_PLANES

__all__ = ["ResidualFetch"]


class ResidualFetch(wiring.Component):
    """Fetch a plane per cycle into one of two register sets while the requantizer uses the other.

    Members
    -------
    descriptor : of the op that runs
    begun : first cycle of an op, whose first pixel is fetched
    slot_start : the next pixel is fetched
    bank : reads of the activation banks
    set : register set that the requantizers work on
    unit_row : row of the units that the requantizers work on
    value : codes of these rows, unit by unit and column by column
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        columns = geometry.columns
        super().__init__({
            "descriptor": In(geometry.descriptor),
            "begun": In(1),
            "slot_start": In(1),
            "bank": Out(PixelRead(geometry)),
            "set": In(1),
            "unit_row": In(geometry.unit_row_bits),
            "value": Out(signed(MAX_PLANES + 1)).array(geometry.units, columns),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.descriptor
        m.submodules.agu = agu = OutputAgu(self.geometry)
        first = Signal()
        fetching = Signal()
        exhausted = Signal()
        fetch = Signal()
        plane = Signal(PLANE_BITS)
        pixel_set = Signal()
        columns = Signal(self.geometry.columns)
        done = fetch & (plane == d.residual_bits)
        m.d.sync += first.eq(self.begun & d.has_residual)
        m.d.comb += [
            agu.descriptor.eq(d),
            agu.base.eq(d.residual_base),
            agu.step.eq(d.residual_step),
            agu.block_step.eq(d.residual_block_step),
            agu.reset.eq(self.begun),
            agu.advance.eq(done),
            fetch.eq(fetching | first | (self.slot_start & d.has_residual & ~exhausted)),
        ]
        m.d.sync += [
            fetching.eq(fetch & ~done),
            plane.eq(Mux(fetch & ~done, plane + 1, 0)),
            columns.eq(Mux(fetch, agu.columns, 0)),
        ]
        m.d.comb += self.bank.read.eq(Mux(d.residual_map, columns[0], columns))
        with m.If(fetch):
            m.d.sync += self.bank.address.eq(agu.address + plane)
        with m.If(done):
            m.d.sync += [
                exhausted.eq(agu.last),
                pixel_set.eq(~pixel_set),
            ]
        with m.If(self.begun):
            m.d.sync += [
                exhausted.eq(0),
                pixel_set.eq(0),
            ]
        self._store(m, plane, pixel_set, agu.group, columns)
        return m

    def _store(self, m: Module, plane: Signal, pixel_set: Signal, group: Signal, columns: Signal) -> None:
        """Store the plane in its set, two cycles after its address, with sign extension into the planes above it."""
        d, rows = self.descriptor, self.geometry.rows
        planes, sets, groups = [plane], [pixel_set], [group]
        for _ in range(2):
            for chain in (planes, sets, groups):
                chain.append(Signal.like(chain[-1]))
                m.d.sync += chain[-1].eq(chain[-2])
        arrived = Signal(self.geometry.columns)
        m.d.sync += arrived.eq(columns)
        for c in range(self.geometry.columns):
            lanes = Signal(rows, name=f"lanes_{c}")
            word = Mux(d.residual_map, self.bank.data[0], self.bank.data[c]) if c else self.bank.data[c]
            m.d.comb += lanes.eq(Mux(d.residual_channel, word[0].replicate(rows), word.word_select(groups[-1], rows)))
            stored = [[Signal(rows, name=f"plane_{c}_{s}_{j}", reset_less=True) for j in range(MAX_PLANES + 1)]
                      for s in range(2)]
            for s in range(2):
                for j in range(MAX_PLANES + 1):
                    reached = planes[-1] <= j if j < (1 << len(plane)) - 1 else Const(1)
                    above = Mux(planes[-1] == j, lanes, Mux(d.residual_signed, lanes, 0))
                    with m.If(arrived[c] & (sets[-1] == s) & reached):
                        m.d.sync += stored[s][j].eq(above if j else lanes)
            per_unit = self.geometry.rows_per_unit
            for u in range(self.geometry.units):
                first, second = (Array([Cat(bits[u * per_unit + i] for bits in planes_of) for i in range(per_unit)])
                                 for planes_of in stored)
                m.d.comb += self.value[u][c].eq(Mux(self.set, second[self.unit_row], first[self.unit_row]))
