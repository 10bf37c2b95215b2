"""The accelerator: a machine's engines, wired together, with plain ports."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from rtl.core.addressing.operand_fetch import OperandFetch
from rtl.core.addressing.window_agu import PixelAgu, TapAgu
from rtl.core.control.bounds_guard import BoundsGuard
from rtl.core.control.dispatcher import Dispatcher
from rtl.core.control.perf_counters import COUNTERS, PerfCounters
from rtl.core.control.requant_sequencer import RequantSequencer
from rtl.core.control.sequencer import Sequencer
from rtl.core.datapath.depthwise_lanes import DepthwiseUnit
from rtl.core.datapath.max_pool import MaxPool
from rtl.core.datapath.output_packer import OutputPacker
from rtl.core.datapath.pe_array import PeArray
from rtl.core.datapath.plane_sequencer import PlaneSequencer
from rtl.core.datapath.requantizer import Requantizer, RequantTerm
from rtl.core.datapath.residual_fetch import ResidualFetch
from rtl.core.dma.load_dma import LoadDma
from rtl.core.dma.store_dma import StoreDma
from rtl.core.memory.activation_memory import ActivationBank
from rtl.core.memory.parameter_memory import ParameterMemory
from rtl.core.memory.weight_memory import WeightMemory
from rtl.encoding.geometry import Geometry

__all__ = ["Accelerator"]


class Accelerator(wiring.Component):
    """Run a table of ops; tensors, parameters and weights come and go on two streams.

    Members
    -------
    compute_write, compute_index, compute_data : the table of Convs and Pools, written while not busy
    inward_write, inward_index, inward_data : the table of what comes on the inward stream
    outward_write, outward_index, outward_data : the table of Stores
    start_valid, start_ready : start; cycle 0 is the cycle after both are high
    busy, cycle : a program runs, cycles since its start
    computes, loads, stores : how many ops have ended: Convs and Pools, Loads, Stores
    stream_valid, stream_ready, stream_data : inward, in the order of the table
    stream_item_end, stream_run_end : the beat at hand is the last one of an item, of the run
    out_valid, out_ready, out_data, out_last : outward; `out_last` is a Store's last beat
    counter_number, counter_value : performance counters, see `rtl.core.control.perf_counters.COUNTERS`
    violation, violation_op : an access would have left its tensor, in which op of the program
    illegal, illegal_op : an entry of a table breaks a limit of the machine, of which op. After either fault
        nothing is taken or begun any more; only reset clears it
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        stream, count, op = geometry.machine.stream_bits, geometry.count_bits, geometry.op_bits
        super().__init__({
            "compute_write": In(1),
            "compute_index": In(ceil_log2(geometry.limits.max_ops)),
            "compute_data": In(geometry.descriptor.size),
            "inward_write": In(1),
            "inward_index": In(ceil_log2(geometry.inward_entries)),
            "inward_data": In(geometry.inward.size),
            "outward_write": In(1),
            "outward_index": In(ceil_log2(geometry.outward_entries)),
            "outward_data": In(geometry.outward.size),
            "start_valid": In(1),
            "start_ready": Out(1),
            "busy": Out(1),
            "cycle": Out(geometry.limits.counter_bits),
            "computes": Out(count),
            "loads": Out(count),
            "stores": Out(count),
            "stream_valid": In(1),
            "stream_ready": Out(1),
            "stream_data": In(stream),
            "stream_item_end": Out(1),
            "stream_run_end": Out(1),
            "out_valid": Out(1),
            "out_ready": In(1),
            "out_data": Out(stream),
            "out_last": Out(1),
            "counter_number": In(range(len(COUNTERS))),
            "counter_value": Out(geometry.limits.counter_bits),
            "violation": Out(1),
            "violation_op": Out(op),
            "illegal": Out(1),
            "illegal_op": Out(op),
        })
        self.dispatcher = Dispatcher(geometry)
        self.load_dma = LoadDma(geometry)
        self.store_dma = StoreDma(geometry)
        self.sequencer = Sequencer(geometry)
        self.tap_agu = TapAgu(geometry)
        self.pixel_agu = PixelAgu(geometry)
        self.operand_fetch = OperandFetch(geometry)
        self.weight_memory = WeightMemory(geometry)
        self.plane_sequencer = PlaneSequencer(geometry)
        self.pe_array = PeArray(geometry)
        self.parameter_memory = ParameterMemory(geometry, self.load_dma.word_bits)
        self.requant_sequencer = RequantSequencer(geometry)
        self.residual_fetch = ResidualFetch(geometry)
        self.depthwise_unit = DepthwiseUnit(geometry) if geometry.depthwise_lanes else None
        self.output_packer = OutputPacker(geometry)
        self.max_pool = MaxPool(geometry)
        self.perf_counters = PerfCounters(geometry)
        self.bounds_guard = BoundsGuard(geometry)
        self.banks = [ActivationBank(geometry) for _ in range(geometry.columns)]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name in ("dispatcher", "load_dma", "store_dma", "bounds_guard", "sequencer", "tap_agu", "pixel_agu",
                     "operand_fetch", "weight_memory", "plane_sequencer", "pe_array", "parameter_memory",
                     "requant_sequencer", "residual_fetch", "output_packer", "max_pool", "perf_counters"):
            m.submodules[name] = getattr(self, name)
        for part in (self.sequencer, self.tap_agu, self.pixel_agu, self.operand_fetch, self.weight_memory):
            m.d.comb += part.descriptor.eq(self.dispatcher.head)
        for part in (self.plane_sequencer, self.requant_sequencer, self.residual_fetch, self.output_packer,
                     self.max_pool):
            m.d.comb += part.descriptor.eq(self.dispatcher.running)
        for part in (self.requant_sequencer, self.residual_fetch, self.output_packer, self.max_pool):
            m.d.comb += part.begun.eq(self.dispatcher.begun)
        self._connect_control(m)
        self._connect_fill(m)
        self._connect_store(m)
        self._connect_protection(m)
        self._connect_walks(m)
        self._connect_loader(m)
        self._connect_weights(m)
        self._connect_array(m)
        self._connect_lanes(m)
        self._connect_requantizers(m)
        self._connect_packer(m)
        self._connect_banks(m)
        self._connect_counters(m)
        return m

    def _connect_control(self, m: Module) -> None:
        control, sequencer, fill, store = self.dispatcher, self.sequencer, self.load_dma, self.store_dma
        m.d.comb += [
            control.table_write.eq(self.compute_write),
            control.table_index.eq(self.compute_index),
            control.table_data.eq(self.compute_data),
            control.start_valid.eq(self.start_valid),
            self.start_ready.eq(control.start_ready),
            self.busy.eq(control.busy),
            self.cycle.eq(control.cycle),
            self.computes.eq(control.computes),
            self.loads.eq(control.loads),
            self.stores.eq(control.stores),
            control.op_issued.eq(sequencer.op_issued),
            control.halt.eq(self.bounds_guard.halt),
            control.op_done.eq(self.output_packer.done | self.max_pool.done),
            control.load_done.eq(fill.loaded),
            control.inward_over.eq(fill.finishing),
            control.store_done.eq(store.stored),
            control.outward_over.eq(store.finishing),
            sequencer.init.eq(control.init),
            sequencer.begin.eq(control.begin),
            sequencer.bank_freed.eq(self.requant_sequencer.tile_done),
            sequencer.tile_filled.eq(fill.filled),
            self.max_pool.pool_issued.eq(sequencer.op_issued & control.head.pool),
        ]

    def _connect_fill(self, m: Module) -> None:
        fill = self.load_dma
        released = Signal()
        m.d.sync += released.eq(self.sequencer.tile_issued)
        m.d.comb += [
            fill.table_write.eq(self.inward_write),
            fill.table_index.eq(self.inward_index),
            fill.table_data.eq(self.inward_data),
            fill.prepare.eq(self.dispatcher.prepare),
            fill.enable.eq(self.dispatcher.busy & ~self.bounds_guard.halt),
            fill.released.eq(released),
            fill.computes.eq(self.dispatcher.computes),
            fill.stores.eq(self.dispatcher.stores),
            fill.stream_valid.eq(self.stream_valid),
            self.stream_ready.eq(fill.stream_ready),
            fill.stream_data.eq(self.stream_data),
            self.stream_item_end.eq(fill.item_end),
            self.stream_run_end.eq(fill.run_end),
            self.weight_memory.write.eq(Mux(fill.to_weights, fill.rows, 0)),
            self.weight_memory.write_slot.eq(fill.weight_slot),
            self.weight_memory.write_address.eq(fill.word),
            self.parameter_memory.write.eq(Mux(fill.to_weights, 0, fill.rows)),
            self.parameter_memory.write_slot.eq(fill.parameter_slot),
            self.parameter_memory.write_word.eq(fill.word),
        ]
        for r in range(self.geometry.rows):
            m.d.comb += [
                self.weight_memory.data[r].eq(fill.data[r]),
                self.parameter_memory.data[r].eq(fill.data[r]),
            ]

    def _connect_store(self, m: Module) -> None:
        store = self.store_dma
        m.d.comb += [
            store.table_write.eq(self.outward_write),
            store.table_index.eq(self.outward_index),
            store.table_data.eq(self.outward_data),
            store.prepare.eq(self.dispatcher.prepare),
            store.enable.eq(self.dispatcher.busy & ~self.bounds_guard.halt),
            store.computes.eq(self.dispatcher.computes),
            self.out_valid.eq(store.valid),
            store.ready.eq(self.out_ready),
            self.out_data.eq(store.data),
            self.out_last.eq(store.last),
        ]

    def _connect_protection(self, m: Module) -> None:
        protection, control, running = self.bounds_guard, self.dispatcher, self.dispatcher.running
        m.d.comb += [
            protection.head.eq(control.head),
            protection.fresh.eq(control.init),
            protection.running.eq(running),
            protection.operand.eq(self.operand_fetch.bank_read),
            protection.residual.eq(self.residual_fetch.bank_read),
            protection.residual_address.eq(self.residual_fetch.bank_address),
            protection.write.eq(self.output_packer.write | self.max_pool.write),
            protection.write_address.eq(Mux(running.pool, self.max_pool.address, self.output_packer.address)),
            protection.inward_illegal.eq(self.load_dma.illegal),
            protection.inward_op.eq(self.load_dma.op),
            protection.outward_illegal.eq(self.store_dma.illegal),
            protection.outward_op.eq(self.store_dma.op),
        ]
        m.d.comb += [protection.operand_address[c].eq(self.operand_fetch.bank_address[c])
                     for c in range(self.geometry.columns)]
        m.d.comb += [getattr(self, port).eq(getattr(protection, port))
                     for port in ("violation", "violation_op", "illegal", "illegal_op")]

    def _connect_walks(self, m: Module) -> None:
        sequencer, taps, pixels = self.sequencer, self.tap_agu, self.pixel_agu
        m.d.comb += [
            taps.advance.eq(sequencer.tap_advance),
            taps.restore.eq(sequencer.tap_restore),
            taps.commit.eq(sequencer.tap_commit),
            taps.reset.eq(sequencer.tap_reset),
            pixels.advance.eq(sequencer.pixel_advance),
            pixels.restore.eq(sequencer.pixel_restore),
            pixels.commit.eq(sequencer.pixel_commit),
            pixels.reset.eq(sequencer.pixel_reset),
            sequencer.last_group.eq(pixels.last_group),
        ]

    def _connect_loader(self, m: Module) -> None:
        loader, sequencer, taps, pixels = self.operand_fetch, self.sequencer, self.tap_agu, self.pixel_agu
        request = loader.request
        m.d.comb += [
            loader.running.eq(self.dispatcher.running),
            loader.read.eq(sequencer.read),
            loader.phase.eq(sequencer.phase),
            loader.columns.eq(sequencer.columns),
            loader.slice_lane.eq(sequencer.tile_lane),
            loader.block_address.eq(sequencer.block_address),
            request.plane.eq(sequencer.plane),
            request.set.eq(sequencer.step.file),
            request.segment_lane.eq(sequencer.segment_lane),
            request.first_segment.eq(sequencer.first_segment),
            request.last_segment.eq(sequencer.last_segment),
            request.pixel_done.eq(sequencer.pixel_done),
            request.block_done.eq(sequencer.block_done),
            request.valid.eq(sequencer.read),
            loader.tap_present.eq(taps.present),
            loader.tap_column.eq(taps.column),
            loader.tap_address.eq(taps.address),
            loader.pixel_row.eq(pixels.row),
            loader.pixel_column.eq(pixels.column),
            loader.pixel_address.eq(pixels.address),
        ]
        for c in range(self.geometry.columns):
            m.d.comb += [
                loader.tap_row[c].eq(taps.row[c]),
                loader.tap_bank[c].eq(taps.bank[c]),
                loader.tap_quotient[c].eq(taps.quotient[c]),
            ]

    def _connect_weights(self, m: Module) -> None:
        weights, sequencer = self.weight_memory, self.sequencer
        m.d.comb += [
            weights.read.eq(sequencer.weight_read),
            weights.first.eq(sequencer.weight_first),
            weights.slot.eq(sequencer.weight_slot),
            weights.plane.eq(sequencer.weight_plane),
            weights.set.eq(sequencer.weight_set),
            weights.last_row_tile.eq(sequencer.last_row_tile),
            weights.part_lanes.eq(sequencer.part_lanes),
            weights.tile_lane.eq(sequencer.tile_lane),
        ]

    def _connect_array(self, m: Module) -> None:
        array, pairs, loader, weights = self.pe_array, self.plane_sequencer, self.operand_fetch, self.weight_memory
        convolves = ~(self.dispatcher.running.pool | self.dispatcher.running.lanewise)
        m.d.comb += [
            pairs.launch.eq(self.sequencer.launch & ~self.dispatcher.head.lanewise),
            pairs.step.eq(self.sequencer.step),
            array.w_write.eq(weights.out),
            array.w_set.eq(weights.out_set),
            array.w_plane.eq(weights.out_plane),
            array.a_write.eq(Mux(convolves, loader.arrived.strobe, 0)),
            array.a_set.eq(loader.arrived.set),
            array.a_plane.eq(loader.arrived.plane),
            array.a_mask.eq(loader.segment_mask),
            array.pair_w.eq(pairs.w_plane),
            array.pair_a.eq(pairs.a_plane),
            array.select.eq(pairs.select),
            array.count.eq(pairs.count),
            array.add.eq(pairs.add),
        ]
        for r in range(self.geometry.rows + 1):
            m.d.comb += array.w_data[r].eq(weights.word[r])
        for c in range(self.geometry.columns):
            m.d.comb += [
                array.a_data[c].eq(loader.segment_word[c]),
                self.max_pool.word[c].eq(loader.word[c]),
            ]
        m.d.comb += self.max_pool.arrived.eq(loader.arrived)

    def _connect_lanes(self, m: Module) -> None:
        """Pairs and lanes are never at work at once; the accumulators take what either has."""
        lanes, pairs, loader = self.depthwise_unit, self.plane_sequencer, self.operand_fetch
        array, requant = self.pe_array, self.requant_sequencer
        if lanes is None:
            m.d.comb += [
                array.accumulate.eq(pairs.accumulate),
                requant.tile_ready.eq(pairs.tile_ready),
            ]
            return
        m.submodules.depthwise_unit = lanes
        m.d.comb += [
            lanes.descriptor.eq(self.dispatcher.running),
            lanes.launch.eq(self.sequencer.launch & self.dispatcher.head.lanewise),
            lanes.step.eq(self.sequencer.step),
            lanes.loaded.eq(loader.loaded),
            lanes.arrived.eq(loader.arrived),
            array.direct.eq(lanes.accumulate.valid),
            array.accumulate.eq(Mux(lanes.accumulate.valid, lanes.accumulate, pairs.accumulate)),
            requant.tile_ready.eq(pairs.tile_ready | lanes.tile_ready),
            self.perf_counters.lanes_active.eq(lanes.active),
            self.perf_counters.lanes_added.eq(lanes.added),
        ]
        for r in range(self.geometry.rows):
            m.d.comb += lanes.stored[r].eq(self.weight_memory.word[r])
            m.d.comb += [array.sums[r][c].eq(lanes.sums[r][c]) for c in range(self.geometry.columns)]
        for c in range(self.geometry.columns):
            m.d.comb += lanes.word[c].eq(loader.segment_word[c])

    def _connect_requantizers(self, m: Module) -> None:
        requant, array, residual = self.requant_sequencer, self.pe_array, self.residual_fetch
        m.d.comb += [
            array.drain.eq(Cat(requant.drain, requant.drain_reference)),
            array.drain_columns.eq(requant.columns),
            array.drain_bank.eq(requant.bank),
            array.drain_address.eq(requant.address),
            array.acc_bank.eq(requant.acc_bank),
            self.parameter_memory.read.eq(requant.drain),
            self.parameter_memory.read_slot.eq(requant.parameter_slot),
            residual.slot_start.eq(requant.slot_start),
            residual.set.eq(requant.set),
            residual.unit_row.eq(requant.unit_row),
        ]
        for unit in range(self.geometry.units):
            term = self._term(m, unit)
            for c in range(self.geometry.columns):
                self._requantizer(m, unit, c, term)

    def _term(self, m: Module, unit: int) -> RequantTerm:
        """The term of a unit: the same digit in all columns."""
        requant, first_row = self.requant_sequencer, unit * self.geometry.rows_per_unit
        m.submodules[f"term_{unit}"] = term = RequantTerm(self.geometry)
        m.d.comb += [
            term.rounding.eq(self.dispatcher.running.rounding),
            term.first.eq(requant.first),
            term.last.eq(requant.last),
            term.residual.eq(requant.residual),
            term.index.eq(requant.index),
        ]
        with m.Switch(requant.unit_row):
            for row in range(self.geometry.rows_per_unit):
                with m.Case(row):
                    m.d.comb += term.packet.eq(self.parameter_memory.packet[first_row + row])
        return term

    def _requantizer(self, m: Module, unit: int, c: int, term: RequantTerm) -> None:
        requant, array, running = self.requant_sequencer, self.pe_array, self.dispatcher.running
        first_row = unit * self.geometry.rows_per_unit
        m.submodules[f"requantizer_{unit}_{c}"] = requantizer = Requantizer(self.geometry)
        m.d.comb += [
            requantizer.execute.eq(requant.execute[unit] & requant.execute_columns[c]),
            requantizer.term.eq(term.term),
            requantizer.bipolar.eq(running.bipolar),
            requantizer.rounding.eq(running.rounding),
            requantizer.zero_out.eq(running.zero_out),
            requantizer.low.eq(running.low),
            requantizer.high.eq(running.high),
            requantizer.reference.eq(array.reference[c]),
            requantizer.residual.eq(self.residual_fetch.value[unit][c]),
            self.output_packer.code[unit][c].eq(requantizer.code),
        ]
        with m.Switch(requant.unit_row):
            for row in range(self.geometry.rows_per_unit):
                with m.Case(row):
                    m.d.comb += requantizer.acc.eq(array.acc[first_row + row][c])

    def _connect_packer(self, m: Module) -> None:
        packer, requant = self.output_packer, self.requant_sequencer
        m.d.comb += [
            packer.slot_end.eq(requant.slot_end),
            packer.capture.eq(requant.capture),
            packer.capture_row.eq(requant.capture_row),
            packer.capture_set.eq(requant.capture_set),
            packer.capture_columns.eq(requant.capture_columns),
        ]

    def _connect_banks(self, m: Module) -> None:
        pool, protection, fill, store = self.dispatcher.running.pool, self.bounds_guard, self.load_dma, self.store_dma
        for c, bank in enumerate(self.banks):
            m.submodules[f"bank_{c}"] = bank
            m.d.comb += [
                bank.operand_read.eq(protection.operand_allowed[c]),
                bank.operand_address.eq(self.operand_fetch.bank_address[c]),
                self.operand_fetch.bank_data[c].eq(bank.operand_data),
                bank.residual_read.eq(protection.residual_allowed[c]),
                bank.residual_address.eq(self.residual_fetch.bank_address),
                self.residual_fetch.bank_data[c].eq(bank.residual_data),
                bank.store_read.eq(store.bank_read[c]),
                bank.store_address.eq(store.bank_address[c]),
                store.bank_data[c].eq(bank.store_data),
                bank.write.eq(protection.write_allowed[c]),
                bank.write_address.eq(protection.write_address),
                bank.write_data.eq(Mux(pool, self.max_pool.data[c], self.output_packer.word[c])),
                bank.write_groups.eq(Mux(pool, (1 << self.geometry.groups) - 1, self.output_packer.groups)),
                bank.load_write.eq(fill.bank_write[c]),
                bank.load_address.eq(fill.bank_address[c]),
                bank.load_data.eq(fill.bank_data[c]),
            ]

    def _connect_counters(self, m: Module) -> None:
        counters, requant, running = self.perf_counters, self.requant_sequencer, self.dispatcher.running
        m.d.comb += [
            counters.clear.eq(self.dispatcher.started),
            counters.enable.eq(self.dispatcher.busy),
            counters.wait_accumulator.eq(self.sequencer.wait_accumulator),
            counters.wait_weights.eq(self.sequencer.wait_weights),
            counters.active.eq(self.dispatcher.active),
            counters.select.eq(self.plane_sequencer.select),
            counters.add.eq(self.plane_sequencer.add),
            counters.accumulate.eq(self.pe_array.accumulate),
            counters.drain.eq(requant.drain),
            counters.drain_columns.eq(requant.columns),
            counters.drain_reference.eq(requant.drain_reference),
            counters.execute.eq(requant.execute),
            counters.execute_columns.eq(requant.execute_columns),
            counters.operand_read.eq(self.operand_fetch.bank_read),
            counters.residual_read.eq(self.residual_fetch.bank_read),
            counters.store_read.eq(self.store_dma.bank_read),
            counters.load_write.eq(self.load_dma.bank_write),
            counters.write.eq(self.output_packer.write | self.max_pool.write),
            counters.weight_read.eq(self.weight_memory.read_rows),
            counters.weight_write.eq(self.load_dma.rows),
            counters.w_operands.eq(self.weight_memory.out[: self.geometry.rows]),
            counters.a_operands.eq(self.pe_array.a_write),
            counters.segment_log2.eq(running.segment_log2),
            counters.in_valid.eq(self.stream_valid),
            counters.in_ready.eq(self.stream_ready),
            counters.out_valid.eq(self.out_valid),
            counters.out_ready.eq(self.out_ready),
            counters.number.eq(self.counter_number),
            self.counter_value.eq(counters.value),
        ]
