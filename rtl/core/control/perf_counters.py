"""Performance counters: where the cycles go, and every event that energy is charged for."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.core.control.counter_names import COUNTERS
from rtl.core.datapath.pe import popcount
from rtl.core.interfaces import pair_layout
from rtl.encoding.geometry import Geometry

__all__ = ["PerfCounters"]


class PerfCounters(wiring.Component):
    """Count what the other parts report in each cycle; a count shows it two cycles later.

    Members
    -------
    clear : a program starts
    enable : a program runs
    wait_accumulator : the sequencer waits for an accumulator bank, one cycle ahead
    wait_weights : the sequencer waits for weights, one cycle ahead
    active : a Conv or Pool runs
    select : pair of bit planes whose operands are selected
    add : pair of bit planes that is added to the partial sums
    accumulate : pair of bit planes that may be added to the accumulators
    drain : rows whose accumulators the requantizers read, a bit each
    drain_columns : columns of these accumulators, a bit each
    drain_reference : the accumulators of the reference row are read
    execute : requantizers of a column that take a term, a bit each
    execute_columns : columns of these requantizers, a bit each
    operand_read : activation banks that are read for operands, a bit each
    residual_read : activation banks that are read for residuals, a bit each
    store_read : activation banks that are read for Stores, a bit each
    write : activation banks that are written with outputs, a bit each
    load_write : activation banks that are written by Loads, a bit each
    weight_read : rows whose weight bank is read, a bit each
    weight_write : rows that take a word of weights or parameters, a bit each
    w_operands : rows whose operand registers take a plane, a bit each
    depthwise_active : the depthwise unit is at work
    depthwise_added : columns in which its lanes add, a bit each
    a_operands : columns whose operand registers take a segment, a bit each
    segment_log2 : logarithm of the lanes of a segment
    table_read : requantizers of a column whose codes are looked up, a bit each
    table_read_columns : columns of these requantizers, a bit each
    table_write : the tables of all requantizers take a word
    in_valid : the inward stream offers a beat
    in_ready : the inward stream may be taken
    out_valid : the outward stream offers a beat
    out_ready : the outward stream may be taken
    number : number of a counter
    value : value of that counter
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        rows, columns, pair = geometry.rows, geometry.columns, pair_layout(geometry)
        super().__init__({
            "clear": In(1),
            "enable": In(1),
            "wait_accumulator": In(1),
            "wait_weights": In(1),
            "active": In(1),
            "in_valid": In(1),
            "in_ready": In(1),
            "out_valid": In(1),
            "out_ready": In(1),
            "select": In(pair),
            "add": In(pair),
            "accumulate": In(pair),
            "drain": In(rows),
            "drain_columns": In(columns),
            "drain_reference": In(1),
            "execute": In(geometry.units),
            "execute_columns": In(columns),
            "operand_read": In(columns),
            "residual_read": In(columns),
            "store_read": In(columns),
            "write": In(columns),
            "load_write": In(columns),
            "weight_read": In(rows),
            "weight_write": In(rows),
            "w_operands": In(rows),
            "depthwise_active": In(1),
            "depthwise_added": In(columns),
            "a_operands": In(columns),
            "segment_log2": In(4),
            "table_read": In(geometry.units),
            "table_read_columns": In(columns),
            "table_write": In(1),
            "number": In(range(len(COUNTERS))),
            "value": Out(geometry.limits.counter_bits),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        increments = self._increments(m)
        values, counting = [], Signal()
        m.d.sync += counting.eq(self.enable)
        for name in COUNTERS:
            count = Signal(self.geometry.limits.counter_bits, name=f"{name}_count")
            increment = Signal(len(Value.cast(increments[name])), name=f"{name}_increment", reset_less=True)
            with m.If(self.enable):
                m.d.sync += increment.eq(increments[name])
            with m.If(self.clear):
                m.d.sync += count.eq(0)
            with m.Elif(counting):
                m.d.sync += count.eq(count + increment)
            values.append(count)
        m.d.comb += self.value.eq(Array(values)[self.number])
        return m

    def _count(self, m: Module, bits: Value, name: str) -> Signal:
        total = Signal(range(len(bits) + 1), name=name)
        m.d.comb += total.eq(popcount(m, bits, name))
        return total

    def _elements(self, m: Module, pair: Value, name: str) -> tuple[Signal, Signal, Signal]:
        """Return the rows, columns, and elements that work on a pair."""
        rows = self._count(m, Cat(pair.rows, pair.reference), f"{name}_rows")
        columns = self._count(m, pair.step.columns, f"{name}_columns")
        elements = Signal(range((self.geometry.rows + 1) * self.geometry.columns + 1), name=f"{name}_elements")
        with m.If(pair.valid):
            m.d.comb += elements.eq(rows * columns)
        return rows, columns, elements

    def _increments(self, m: Module) -> dict[str, Value]:
        lanes = self.geometry.lanes
        waits = [Signal(name="waits_for_accumulator"), Signal(name="waits_for_weights")]
        m.d.sync += [
            waits[0].eq(self.wait_accumulator),
            waits[1].eq(self.wait_weights),
        ]
        rows, columns, selected = self._elements(m, self.select, "select")
        added, accumulated = (self._elements(m, pair, name)[2]
                              for pair, name in ((self.add, "add"), (self.accumulate, "accumulate")))
        wide = accumulated * self.accumulate.last
        drained = (self._count(m, Cat(self.drain, self.drain_reference), "drained_rows")
                   * self._count(m, self.drain_columns, "drained_columns"))
        executed = (self._count(m, self.execute, "executing_units")
                    * self._count(m, self.execute_columns, "executing_columns"))
        looked_up = (self._count(m, self.table_read, "looking_up_units")
                     * self._count(m, self.table_read_columns, "looking_up_columns"))
        operand_words = (rows + columns) * self.select.valid + self._count(m, self.w_operands, "w_operands_written")
        segments = self._count(m, self.a_operands, "a_operands_written")
        depthwise_added = self._count(m, self.depthwise_added, "depthwise_added_columns")
        bits = depthwise_added + self.depthwise_active * (2 * self.geometry.product_bits)
        lane_bits = bits * self.geometry.depthwise_lanes
        return {
            "pairs": self.select.valid | self.depthwise_active, "wait_accumulator": waits[0], "wait_weights": waits[1],
            "wait_transfers": ~self.active, "starved": self.in_ready & ~self.in_valid,
            "blocked": self.out_valid & ~self.out_ready,
            "pair_elements": selected, "narrow_adds": added, "lane_steps": depthwise_added, "wide_adds": wide,
            "acc_reads": added * (self.add.last & ~self.add.step.fresh) + drained, "acc_writes": wide,
            "requant_terms": executed,
            "act_reads": self._count(m, self.operand_read, "operands_read")
            + self._count(m, self.residual_read, "residuals_read") + self._count(m, self.store_read, "words_sent"),
            "act_writes": self._count(m, self.write, "words_written") + self._count(m, self.load_write, "words_taken"),
            "weight_reads": self._count(m, self.weight_read, "weights_read"),
            "weight_writes": self._count(m, self.weight_write, "weights_written"),
            "operand_bits": operand_words * lanes + (segments << self.segment_log2) + lane_bits,
            "stream_in_beats": self.in_valid & self.in_ready, "stream_out_beats": self.out_valid & self.out_ready,
            "table_reads": looked_up,
            "table_writes": Mux(self.table_write, self.geometry.units * self.geometry.columns, 0),
        }
