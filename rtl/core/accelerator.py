"""The accelerator: a machine's memories, address generators, datapath, DMA and control, wired together."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from rtl.core.addressing.operand_fetch import OperandFetch
from rtl.core.addressing.window_agu import PixelAgu, TapAgu
from rtl.core.control.bounds_guard import BoundsGuard
from rtl.core.control.counter_names import COUNTERS
from rtl.core.control.dispatcher import Dispatcher
from rtl.core.control.perf_counters import PerfCounters
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
from rtl.core.interfaces import OPERAND_ENGINES, FaultReport, TableWrite, beat_layout, bypasses_array
from rtl.core.memory.activation_memory import ActivationMemory
from rtl.core.memory.parameter_memory import ParameterMemory
from rtl.core.memory.table_memory import TableMemory
from rtl.core.memory.weight_memory import WeightMemory
from rtl.encoding.geometry import Geometry
from sim.ir.formats import MAX_PLANES

__all__ = ["Accelerator"]


class Accelerator(wiring.Component):
    """Run a table of ops; tensors, parameters and weights come and go on two streams.

    Members
    -------
    compute_table : the host writes the Convs and Pools
    inward_table : the host writes what comes on the inward stream
    outward_table : the host writes the Stores
    start_valid : start the program
    start_ready : the program can start; cycle 0 is the cycle after both are high
    busy : a program runs
    cycle : cycles since its start
    computes : Convs and Pools that have ended
    loads : Loads that have ended
    stores : Stores that have ended
    i : the inward stream, in the order of its table
    item_end : the beat at hand is the last one of an item of the inward table
    run_end : the beat at hand is the last one of the run
    o : the outward stream; a packet is a Store
    counter_number : number of a performance counter, see `rtl.core.control.perf_counters.COUNTERS`
    counter_value : value of that counter
    violation : an access would have left its tensor
    illegal : an entry of a table breaks a limit of the machine
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        bits, limits = geometry.machine.stream_bits, geometry.limits
        super().__init__({
            "compute_table": In(TableWrite(geometry.descriptor.size, limits.max_ops)),
            "inward_table": In(TableWrite(geometry.inward.size, geometry.inward_entries)),
            "outward_table": In(TableWrite(geometry.outward.size, geometry.outward_entries)),
            "start_valid": In(1),
            "start_ready": Out(1),
            "busy": Out(1),
            "cycle": Out(limits.counter_bits),
            "computes": Out(geometry.count_bits),
            "loads": Out(geometry.count_bits),
            "stores": Out(geometry.count_bits),
            "i": In(stream.Signature(bits)),
            "item_end": Out(1),
            "run_end": Out(1),
            "o": Out(stream.Signature(beat_layout(bits))),
            "counter_number": In(range(len(COUNTERS))),
            "counter_value": Out(limits.counter_bits),
            "violation": Out(FaultReport(geometry)),
            "illegal": Out(FaultReport(geometry)),
        })
        self.dispatcher = Dispatcher(geometry)
        self.load_dma = LoadDma(geometry)
        self.store_dma = StoreDma(geometry)
        self.bounds_guard = BoundsGuard(geometry)
        self.sequencer = Sequencer(geometry)
        self.tap_agu = TapAgu(geometry)
        self.pixel_agu = PixelAgu(geometry)
        self.operand_fetch = OperandFetch(geometry)
        self.activation_memory = ActivationMemory(geometry)
        self.weight_memory = WeightMemory(geometry)
        self.parameter_memory = ParameterMemory(geometry, self.load_dma.word_bits)
        self.plane_sequencer = PlaneSequencer(geometry)
        self.pe_array = PeArray(geometry)
        self.depthwise_unit = DepthwiseUnit(geometry) if geometry.depthwise_lanes else None
        self.table_memory = TableMemory(geometry) if geometry.table_words else None
        self.requant_sequencer = RequantSequencer(geometry)
        self.residual_fetch = ResidualFetch(geometry)
        self.output_packer = OutputPacker(geometry)
        self.max_pool = MaxPool(geometry)
        self.perf_counters = PerfCounters(geometry)
        self.operand_engines = {flag: getattr(self, name) for flag, name in OPERAND_ENGINES.items()}

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name in ("dispatcher", "load_dma", "store_dma", "bounds_guard", "sequencer", "tap_agu", "pixel_agu",
                     "operand_fetch", "activation_memory", "weight_memory", "parameter_memory", "plane_sequencer",
                     "pe_array", "requant_sequencer", "residual_fetch", "output_packer",
                     *OPERAND_ENGINES.values(), "perf_counters"):
            m.submodules[name] = getattr(self, name)
        for part in (self.sequencer, self.tap_agu, self.pixel_agu, self.operand_fetch, self.weight_memory):
            m.d.comb += part.descriptor.eq(self.dispatcher.head)
        for part in (self.plane_sequencer, self.requant_sequencer, self.residual_fetch, self.output_packer):
            m.d.comb += part.descriptor.eq(self.dispatcher.running)
        for part in (self.requant_sequencer, self.residual_fetch, self.output_packer):
            m.d.comb += part.begun.eq(self.dispatcher.begun)
        self._connect_interfaces(m)
        self._connect_dispatcher(m)
        self._connect_dma(m)
        self._connect_sequencer(m)
        self._connect_array(m)
        self._connect_depthwise_unit(m)
        self._connect_requantizers(m)
        self._connect_tables(m)
        self._connect_writes(m)
        self._connect_counters(m)
        return m

    def _connect_interfaces(self, m: Module) -> None:
        """Connect tables, streams, address generators, weights, and all accesses to the activation banks."""
        guard, memory = self.bounds_guard, self.activation_memory
        connect(m, flipped(self.compute_table), self.dispatcher.table)
        connect(m, flipped(self.inward_table), self.load_dma.table)
        connect(m, flipped(self.outward_table), self.store_dma.table)
        connect(m, flipped(self.i), self.load_dma.i)
        connect(m, self.store_dma.o, flipped(self.o))
        connect(m, self.sequencer.tap_step, self.tap_agu.step)
        connect(m, self.sequencer.pixel_step, self.pixel_agu.step)
        connect(m, self.tap_agu.position, self.operand_fetch.tap)
        connect(m, self.pixel_agu.position, self.operand_fetch.pixel)
        connect(m, self.sequencer.weight, self.weight_memory.request)
        connect(m, self.weight_memory.planes, self.pe_array.w)
        connect(m, self.requant_sequencer.capture, self.output_packer.capture)
        connect(m, self.operand_fetch.bank, guard.operand_i)
        connect(m, guard.operand_o, memory.operand)
        connect(m, self.residual_fetch.bank, guard.residual_i)
        connect(m, guard.residual_o, memory.residual)
        connect(m, guard.write_o, memory.write)
        connect(m, self.load_dma.bank, memory.load)
        connect(m, self.store_dma.bank, memory.store)
        connect(m, self.load_dma.illegal, guard.inward)
        connect(m, self.store_dma.illegal, guard.outward)
        connect(m, guard.violation, flipped(self.violation))
        connect(m, guard.illegal, flipped(self.illegal))

    def _connect_dispatcher(self, m: Module) -> None:
        dispatcher, sequencer, guard = self.dispatcher, self.sequencer, self.bounds_guard
        done = self.output_packer.done
        for engine in self.operand_engines.values():
            done = done | engine.done
        m.d.comb += [
            dispatcher.start_valid.eq(self.start_valid),
            self.start_ready.eq(dispatcher.start_ready),
            self.busy.eq(dispatcher.busy),
            self.cycle.eq(dispatcher.cycle),
            self.computes.eq(dispatcher.computes),
            self.loads.eq(dispatcher.loads),
            self.stores.eq(dispatcher.stores),
            dispatcher.op_issued.eq(sequencer.op_issued),
            dispatcher.op_done.eq(done),
            dispatcher.halt.eq(guard.halt),
            dispatcher.load_done.eq(self.load_dma.loaded),
            dispatcher.inward_over.eq(self.load_dma.finishing),
            dispatcher.store_done.eq(self.store_dma.stored),
            dispatcher.outward_over.eq(self.store_dma.finishing),
            guard.head.eq(dispatcher.head),
            guard.fresh.eq(dispatcher.init),
            guard.running.eq(dispatcher.running),
        ]

    def _connect_dma(self, m: Module) -> None:
        load, store, dispatcher = self.load_dma, self.store_dma, self.dispatcher
        weights, parameters = self.weight_memory, self.parameter_memory
        slot_free = Signal()
        m.d.sync += slot_free.eq(self.sequencer.tile_issued)
        for dma in (load, store):
            m.d.comb += [
                dma.prepare.eq(dispatcher.prepare),
                dma.enable.eq(dispatcher.busy & ~self.bounds_guard.halt),
                dma.computes.eq(dispatcher.computes),
            ]
        m.d.comb += [
            load.stores.eq(dispatcher.stores),
            load.slot_free.eq(slot_free),
            self.item_end.eq(load.item_end),
            self.run_end.eq(load.run_end),
            weights.write.eq(Mux(load.to_weights, load.rows, 0)),
            weights.write_slot.eq(load.weight_slot),
            weights.write_address.eq(load.word),
            parameters.write.eq(Mux(load.to_weights, 0, load.rows)),
            parameters.write_slot.eq(load.parameter_slot),
            parameters.write_word.eq(load.word),
        ]
        for r in range(self.geometry.rows):
            m.d.comb += [
                weights.data[r].eq(load.data[r]),
                parameters.data[r].eq(load.data[r]),
            ]

    def _connect_sequencer(self, m: Module) -> None:
        sequencer, fetch = self.sequencer, self.operand_fetch
        request = fetch.request
        m.d.comb += [
            sequencer.init.eq(self.dispatcher.init),
            sequencer.begin.eq(self.dispatcher.begin),
            sequencer.bank_freed.eq(self.requant_sequencer.tile_done),
            sequencer.slot_filled.eq(self.load_dma.slot_filled),
            sequencer.last_row_group.eq(self.pixel_agu.last_row_group),
            fetch.running.eq(self.dispatcher.running),
            fetch.read.eq(sequencer.read),
            fetch.phase.eq(sequencer.phase),
            fetch.columns.eq(sequencer.columns),
            fetch.slice_lane.eq(sequencer.weight.tile_lane),
            fetch.block_address.eq(sequencer.block_address),
            request.valid.eq(sequencer.read),
            request.plane.eq(sequencer.plane),
            request.set.eq(sequencer.step.file),
            request.segment_lane.eq(sequencer.segment_lane),
            request.first_segment.eq(sequencer.first_segment),
            request.last_segment.eq(sequencer.last_segment),
            request.pixel_done.eq(sequencer.pixel_done),
            request.block_done.eq(sequencer.block_done),
        ]

    def _connect_array(self, m: Module) -> None:
        array, planes, fetch = self.pe_array, self.plane_sequencer, self.operand_fetch
        running = self.dispatcher.running
        convolves = ~(bypasses_array(running) | running.depthwise_unit)
        m.d.comb += [
            planes.launch.eq(self.sequencer.launch & ~self.dispatcher.head.depthwise_unit),
            planes.step.eq(self.sequencer.step),
            array.a_write.eq(Mux(convolves, fetch.arrived.strobe, 0)),
            array.a_set.eq(fetch.arrived.set),
            array.a_plane.eq(fetch.arrived.plane),
            array.a_mask.eq(fetch.segment_mask),
            array.w_plane_index.eq(planes.w_plane),
            array.a_plane_index.eq(planes.a_plane),
            array.select.eq(planes.select),
            array.count.eq(planes.count),
            array.add.eq(planes.add),
        ]
        for c in range(self.geometry.columns):
            m.d.comb += array.a_data[c].eq(fetch.segment_word[c])

    def _connect_depthwise_unit(self, m: Module) -> None:
        """Connect the depthwise unit, which never works when the array does: the accumulators take what either has."""
        unit, planes, fetch = self.depthwise_unit, self.plane_sequencer, self.operand_fetch
        array, requant = self.pe_array, self.requant_sequencer
        if unit is None:
            m.d.comb += [
                array.accumulate.eq(planes.accumulate),
                requant.tile_ready.eq(planes.tile_ready),
            ]
            return
        m.submodules.depthwise_unit = unit
        m.d.comb += [
            unit.descriptor.eq(self.dispatcher.running),
            unit.launch.eq(self.sequencer.launch & self.dispatcher.head.depthwise_unit),
            unit.step.eq(self.sequencer.step),
            unit.loaded.eq(fetch.loaded),
            unit.arrived.eq(fetch.arrived),
            array.direct.eq(unit.accumulate.valid),
            array.accumulate.eq(Mux(unit.accumulate.valid, unit.accumulate, planes.accumulate)),
            requant.tile_ready.eq(planes.tile_ready | unit.tile_ready),
            self.perf_counters.depthwise_active.eq(unit.active),
            self.perf_counters.depthwise_added.eq(unit.added),
        ]
        for r in range(self.geometry.rows):
            m.d.comb += unit.stored[r].eq(self.weight_memory.planes.word[r])
            m.d.comb += [array.sums[r][c].eq(unit.sums[r][c]) for c in range(self.geometry.columns)]
        for c in range(self.geometry.columns):
            m.d.comb += unit.word[c].eq(fetch.segment_word[c])

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
            self.output_packer.slot_end.eq(requant.slot_end),
        ]
        for unit in range(self.geometry.units):
            term = self._term(m, unit)
            for c in range(self.geometry.columns):
                self._requantizer(m, unit, c, term)

    def _term(self, m: Module, unit: int) -> RequantTerm:
        """Add the look-up of a unit's term: the same digit in all columns."""
        requant, first_row = self.requant_sequencer, unit * self.geometry.rows_per_unit
        running = self.dispatcher.running
        m.submodules[f"term_{unit}"] = term = RequantTerm(self.geometry)
        m.d.comb += [
            term.execute.eq(requant.execute[unit]),
            term.rounding.eq(running.rounding),
            term.first.eq(requant.first),
            term.last.eq(requant.last),
            term.residual.eq(requant.residual),
            term.gated.eq(requant.gated),
            term.gate_exponent.eq(running.gate_exponent),
            term.negative_plane.eq(Mux(running.residual_signed, running.residual_bits, MAX_PLANES)),
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
            requantizer.choice.eq(term.choice),
            requantizer.term.eq(term.term),
            requantizer.bipolar.eq(running.bipolar),
            requantizer.rounding.eq(running.rounding),
            requantizer.zero_out.eq(running.zero_out),
            requantizer.low.eq(running.low),
            requantizer.high.eq(running.high),
            requantizer.reference.eq(array.reference[c]),
            requantizer.residual.eq(self.residual_fetch.value[unit][c]),
        ]
        code = self.output_packer.code[unit][c]
        if self.table_memory is None:
            m.d.comb += code.eq(requantizer.code)
        else:
            m.d.comb += [
                self.table_memory.index[unit][c].eq(requantizer.code),
                code.eq(Mux(running.table, self.table_memory.code[unit][c], requantizer.code)),
            ]
        with m.Switch(requant.unit_row):
            for row in range(self.geometry.rows_per_unit):
                with m.Case(row):
                    m.d.comb += requantizer.acc.eq(array.acc[first_row + row][c])

    def _connect_tables(self, m: Module) -> None:
        """Fill the tables from the stream, and look up the codes of the ops that end in one."""
        tables, load, requant = self.table_memory, self.load_dma, self.requant_sequencer
        if tables is None:
            return
        m.submodules.table_memory = tables
        looks_up = self.dispatcher.running.table
        m.d.comb += [
            tables.write.eq(load.lookup_write),
            tables.write_slot.eq(load.lookup_slot),
            tables.write_word.eq(load.lookup_word),
            tables.data.eq(load.lookup_data),
            tables.op_done.eq(self.output_packer.done & looks_up),
            tables.ready.units.eq(Mux(looks_up, requant.ready.units, 0)),
            tables.ready.columns.eq(requant.ready.columns),
            self.perf_counters.table_read.eq(tables.ready.units),
            self.perf_counters.table_read_columns.eq(tables.ready.columns),
            self.perf_counters.table_write.eq(tables.write),
        ]

    def _connect_writes(self, m: Module) -> None:
        """Choose who writes outputs: the packer, or in its place an engine that bypasses the array."""
        packer, fetch, write = self.output_packer.write, self.operand_fetch, self.bounds_guard.write_i
        mask, slices, words, addresses = packer.write, packer.slices, list(packer.data), list(packer.address)
        for flag, engine in self.operand_engines.items():
            chosen = self.dispatcher.running[flag]
            m.d.comb += [
                engine.descriptor.eq(self.dispatcher.running),
                engine.begun.eq(self.dispatcher.begun),
                engine.op_issued.eq(self.sequencer.op_issued & self.dispatcher.head[flag]),
                engine.arrived.eq(fetch.arrived),
            ]
            for c in range(self.geometry.columns):
                m.d.comb += engine.word[c].eq(fetch.word[c])
            mask = mask | engine.write.write
            slices = Mux(chosen, engine.write.slices, slices)
            words = [Mux(chosen, word, other) for word, other in zip(engine.write.data, words, strict=True)]
            addresses = [Mux(chosen, address, other)
                         for address, other in zip(engine.write.address, addresses, strict=True)]
        m.d.comb += [
            write.write.eq(mask),
            write.slices.eq(slices),
        ]
        for c, (word, address) in enumerate(zip(words, addresses, strict=True)):
            m.d.comb += [
                write.data[c].eq(word),
                write.address[c].eq(address),
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
            counters.operand_read.eq(self.operand_fetch.bank.read),
            counters.residual_read.eq(self.residual_fetch.bank.read),
            counters.store_read.eq(self.store_dma.bank.read),
            counters.load_write.eq(self.load_dma.bank.write),
            counters.write.eq(self.bounds_guard.write_i.write),
            counters.weight_read.eq(self.weight_memory.read_rows),
            counters.weight_write.eq(self.load_dma.rows),
            counters.w_operands.eq(self.weight_memory.planes.rows[: self.geometry.rows]),
            counters.a_operands.eq(self.pe_array.a_write),
            counters.segment_log2.eq(running.segment_log2),
            counters.in_valid.eq(self.i.valid),
            counters.in_ready.eq(self.i.ready),
            counters.out_valid.eq(self.o.valid),
            counters.out_ready.eq(self.o.ready),
            counters.number.eq(self.counter_number),
            self.counter_value.eq(counters.value),
        ]
