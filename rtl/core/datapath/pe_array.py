"""The array: operand registers per row and column, and the processing elements between them."""

from __future__ import annotations

from amaranth.hdl import Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.core.datapath.operand_registers import OperandRegisters
from rtl.core.datapath.pe import ProcessingElement
from rtl.core.interfaces import WeightPlanes, pair_layout
from rtl.encoding.geometry import Geometry
from sim.hardware.dimensions import PLANE_BITS

__all__ = ["PeArray"]


class PeArray(wiring.Component):
    """`rows` x `columns` processing elements, plus a reference row where the machine has one.

    Members
    -------
    w : planes for the weight operands of the rows
    a_write : the columns whose activation operands take a plane, a bit each
    a_set : operand set that takes it
    a_plane : number of the plane
    a_mask : the lanes that take it, a bit each
    a_data : the plane of each column
    w_plane_index : weight plane of the pair in the select stage
    a_plane_index : activation plane of the pair in the select stage
    select : controls of the stage that selects operands
    count : controls of the stage that counts ones
    add : controls of the stage that adds to the partial sums
    accumulate : controls of the stage that adds to the accumulators
    direct : the accumulators take `sums`; only machines with depthwise lanes
    sums : sums of the depthwise lanes, row by row and column by column
    drain : the rows whose accumulators the requantizers read, a bit each; the last one is the reference row
    drain_columns : columns of these accumulators, a bit each
    drain_bank : bank of these accumulators
    drain_address : address of these accumulators
    acc_bank : bank that `acc` and `reference` show
    acc : accumulators that were read, row by row and column by column
    reference : accumulators of the reference row that were read
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.has_reference = geometry.machine.bipolar
        rows, columns, lanes = geometry.rows, geometry.columns, geometry.lanes
        acc, pair = signed(geometry.machine.acc_bits), pair_layout(geometry)
        super().__init__({
            "w": In(WeightPlanes(geometry)),
            "a_write": In(columns),
            "a_set": In(1),
            "a_plane": In(PLANE_BITS),
            "a_mask": In(lanes),
            "a_data": In(lanes).array(columns),
            "w_plane_index": In(PLANE_BITS),
            "a_plane_index": In(PLANE_BITS),
            "select": In(pair),
            "count": In(pair),
            "add": In(pair),
            "accumulate": In(pair),
            "drain": In(rows + 1),
            "drain_columns": In(columns),
            "drain_bank": In(1),
            "drain_address": In(geometry.accumulator_address_bits),
            "acc_bank": In(1),
            "acc": Out(acc).array(rows, columns),
            "reference": Out(acc).array(columns),
            **({"direct": In(1), "sums": In(signed(geometry.lane_sum_bits)).array(rows, columns)}
                if geometry.depthwise_lanes else {}),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows = self.geometry.rows
        weights = [self._row_operands(m, r) for r in range(rows + self.has_reference)]
        activations = [self._column_operands(m, c) for c in range(self.geometry.columns)]
        for r, w in enumerate(weights):
            for c, a in enumerate(activations):
                element = self._element(m, r, c)
                m.d.comb += [
                    element.w.eq(w.word),
                    element.a.eq(a.word),
                ]
                m.d.comb += (self.acc[r][c] if r < rows else self.reference[c]).eq(element.acc)
        return m

    def _row_operands(self, m: Module, r: int) -> OperandRegisters:
        geometry, reference = self.geometry, r == self.geometry.rows
        operands = OperandRegisters(1 if reference else geometry.machine.max_bits_w, geometry.lanes)
        m.submodules["reference_operands" if reference else f"row_operands_{r}"] = operands
        m.d.comb += [
            operands.write.eq(self.w.rows[r]),
            operands.write_set.eq(self.w.set),
            operands.write_plane.eq(self.w.plane),
            operands.write_mask.eq((1 << geometry.lanes) - 1),
            operands.data.eq(self.w.word[r]),
            operands.select.eq(self.select.valid & (self.select.reference if reference else self.select.rows[r])),
            operands.read_set.eq(self.select.step.weights),
            operands.read_plane.eq(self.w_plane_index),
        ]
        return operands

    def _column_operands(self, m: Module, c: int) -> OperandRegisters:
        geometry = self.geometry
        operands = OperandRegisters(geometry.machine.max_bits_a, geometry.lanes)
        m.submodules[f"column_operands_{c}"] = operands
        m.d.comb += [
            operands.write.eq(self.a_write[c]),
            operands.write_set.eq(self.a_set),
            operands.write_plane.eq(self.a_plane),
            operands.write_mask.eq(self.a_mask),
            operands.data.eq(self.a_data[c]),
            operands.select.eq(self.select.valid & self.select.step.columns[c]),
            operands.read_set.eq(self.select.step.file),
            operands.read_plane.eq(self.a_plane_index),
        ]
        return operands

    def _element(self, m: Module, r: int, c: int) -> ProcessingElement:
        reference = r == self.geometry.rows
        element = ProcessingElement(self.geometry)
        m.submodules[f"reference_element_{c}" if reference else f"element_{r}_{c}"] = element
        count, add, acc = ((pair.valid & pair.step.columns[c] & (pair.reference if reference else pair.rows[r]))
                           for pair in (self.count, self.add, self.accumulate))
        m.d.comb += [
            element.count.eq(count),
            element.add.eq(add),
            element.first.eq(self.add.first),
            element.double.eq(self.add.double),
            element.negative.eq(self.add.negative),
            element.read.eq(add & self.add.last & ~self.add.step.fresh),
            element.read_bank.eq(self.add.step.bank),
            element.read_address.eq(self.add.step.address),
            element.accumulate.eq(acc & self.accumulate.last),
            element.fresh.eq(self.accumulate.step.fresh),
            element.bank.eq(self.accumulate.step.bank),
            element.address.eq(self.accumulate.step.address),
            element.drain.eq(self.drain[r] & self.drain_columns[c]),
            element.drain_bank.eq(self.drain_bank),
            element.drain_address.eq(self.drain_address),
            element.acc_bank.eq(self.acc_bank),
        ]
        if self.geometry.depthwise_lanes and not reference:
            m.d.comb += [
                element.direct.eq(self.direct),
                element.sum.eq(self.sums[r][c]),
            ]
        return element
