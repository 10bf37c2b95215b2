"""The whole accelerator with its buses: the core with AXI4-Stream and AXI4-Lite."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from rtl.core.accelerator import Accelerator
from rtl.encoding.geometry import Geometry
from rtl.encoding.hardware_id import signature
from rtl.encoding.program_image import IMAGE_VERSION, TABLES, beat_bits
from rtl.shell.axi_lite import AXI_LITE_PORTS, AxiLiteSlave
from rtl.shell.csr_file import CsrFile
from rtl.shell.csr_map import ID, REGISTER_VERSION
from rtl.shell.fault_codes import FAULT_BITS, FaultCode
from rtl.shell.program_loader import ProgramLoader
from rtl.shell.stream_guard import StreamGuard
from rtl.shell.watchdog import Watchdog

__all__ = ["Top"]


class Top(wiring.Component):
    """Give a machine four buses; `docs/interface.md` describes them, `rtl.shell.csr_map` the registers.

    The streams reach the core without delay, so that the cycles of `sim.timing.timeline` hold at the pins.

    Members
    -------
    s_axis_tvalid : the host offers a beat
    s_axis_tready : the machine takes the beat when `s_axis_tvalid` is high too
    s_axis_tdata : the beat: a part of a program image, of weights or of a tensor
    s_axis_tlast : the beat is the last one of its packet
    m_axis_tvalid : the machine offers a beat
    m_axis_tready : the host takes the beat when `m_axis_tvalid` is high too
    m_axis_tdata : the beat: a part of a resulting tensor
    m_axis_tlast : the beat is the last one of its packet
    s_axil_awaddr : byte address of the register to write [bytes]
    s_axil_awvalid : the host offers `s_axil_awaddr`
    s_axil_awready : the machine takes `s_axil_awaddr` when `s_axil_awvalid` is high too
    s_axil_wdata : new value of the register
    s_axil_wstrb : bytes of `s_axil_wdata` that are written, a bit each
    s_axil_wvalid : the host offers `s_axil_wdata` and `s_axil_wstrb`
    s_axil_wready : the machine takes `s_axil_wdata` and `s_axil_wstrb` when `s_axil_wvalid` is high too
    s_axil_bresp : outcome of the write: 0 (OKAY) or 2 (SLVERR)
    s_axil_bvalid : the machine offers `s_axil_bresp`
    s_axil_bready : the host takes `s_axil_bresp` when `s_axil_bvalid` is high too
    s_axil_araddr : byte address of the register to read [bytes]
    s_axil_arvalid : the host offers `s_axil_araddr`
    s_axil_arready : the machine takes `s_axil_araddr` when `s_axil_arvalid` is high too
    s_axil_rdata : value of the register; 0 if the read is refused
    s_axil_rresp : outcome of the read: 0 (OKAY) or 2 (SLVERR)
    s_axil_rvalid : the machine offers `s_axil_rdata` and `s_axil_rresp`
    s_axil_rready : the host takes `s_axil_rdata` and `s_axil_rresp` when `s_axil_rvalid` is high too
    irq : interrupt request; high while an enabled bit of the register INTERRUPT is set
    trace_busy : a program runs; for observation only
    trace_cycle : cycles of the running or the last run; for observation only
    trace_computes : Convs and Pools of that run that have ended; for observation only
    trace_loads : Loads of that run that have ended; for observation only
    trace_stores : Stores of that run that have ended; for observation only
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry, self.width = geometry, beat_bits(geometry.machine)
        count = geometry.count_bits
        super().__init__({
            "s_axis_tvalid": In(1),
            "s_axis_tready": Out(1),
            "s_axis_tdata": In(self.width),
            "s_axis_tlast": In(1),
            "m_axis_tvalid": Out(1),
            "m_axis_tready": In(1),
            "m_axis_tdata": Out(self.width),
            "m_axis_tlast": Out(1),
            **{f"s_axil_{name}": member for name, member in AXI_LITE_PORTS.items()},
            "irq": Out(1),
            "trace_busy": Out(1),
            "trace_cycle": Out(geometry.limits.counter_bits),
            **{f"trace_{kind}": Out(count) for kind in ("computes", "loads", "stores")},
        })
        self.core = Accelerator(geometry)
        self.program_loader = ProgramLoader(geometry)
        self.stream_guard = StreamGuard(self.width)
        self.axi_lite = AxiLiteSlave()
        self.csr_file = CsrFile()
        self.watchdog = Watchdog()
        self._running = Signal()
        self._starting = Signal()
        self._stopped = Signal()
        self._program = Signal()
        self._cleared = Signal()
        self._stop = Signal()
        self._reason = Signal(FAULT_BITS)
        self._at = Signal(geometry.op_bits)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.core = ResetInserter(self._cleared)(self.core)
        m.submodules.program_loader = ResetInserter(self._stop)(self.program_loader)
        m.submodules.stream_guard, m.submodules.axi_lite = self.stream_guard, self.axi_lite
        m.submodules.csr_file, m.submodules.watchdog = self.csr_file, self.watchdog
        self._connect_registers(m)
        self._connect_streams(m)
        self._connect_loader(m)
        self._connect_watchdog(m)
        self._states(m)
        self._faults(m)
        return m

    def _connect_registers(self, m: Module) -> None:
        bus, bank, core = self.axi_lite, self.csr_file, self.core
        for name, member in AXI_LITE_PORTS.items():
            pin, port = getattr(self, f"s_axil_{name}"), getattr(bus, name)
            m.d.comb += pin.eq(port) if member.flow is Out else port.eq(pin)
        connect(m, bus.access, bank.access)
        m.d.comb += [
            bank.id_id.eq(ID),
            bank.version_image.eq(IMAGE_VERSION),
            bank.version_registers.eq(REGISTER_VERSION),
            bank.machine_signature.eq(signature(self.geometry)),
            bank.status_loading.eq(self.program_loader.active),
            bank.status_running.eq(self._running | self._starting),
            bank.status_fault.eq(self._stopped),
            bank.status_program.eq(self._program),
            bank.status_cut.eq(self.stream_guard.cut),
            bank.cycle.eq(core.cycle),
            core.counter_number.eq(bank.counter_number),
            bank.counter_value.eq(core.counter_value),
            self.irq.eq(bank.irq),
            self.trace_busy.eq(core.busy),
            self.trace_cycle.eq(core.cycle),
        ]
        for kind in ("computes", "loads", "stores"):
            ended = getattr(core, kind)
            m.d.comb += [
                getattr(bank, f"{kind}_ended").eq(ended),
                getattr(self, f"trace_{kind}").eq(ended),
            ]

    def _connect_streams(self, m: Module) -> None:
        core, loader, guard = self.core, self.program_loader, self.stream_guard
        m.d.comb += [
            core.i.valid.eq(self.s_axis_tvalid & self._running),
            core.i.payload.eq(self.s_axis_tdata),
            loader.valid.eq(self.s_axis_tvalid),
            loader.data.eq(self.s_axis_tdata),
            loader.last.eq(self.s_axis_tlast),
            self.s_axis_tready.eq((self._running & core.i.ready) | loader.active | self._stopped),
            guard.i.valid.eq(core.o.valid),
            guard.i.payload.data.eq(core.o.payload.data),
            guard.i.payload.last.eq(core.o.payload.last),
            core.o.ready.eq(guard.i.ready),
            guard.stop.eq(self._stop),
            guard.stopped.eq(self._stopped),
            self.m_axis_tvalid.eq(guard.o.valid),
            guard.o.ready.eq(self.m_axis_tready),
            self.m_axis_tdata.eq(guard.o.payload.data),
            self.m_axis_tlast.eq(guard.o.payload.last),
        ]

    def _connect_loader(self, m: Module) -> None:
        for table in TABLES:
            written = getattr(self.core, f"{table}_table")
            m.d.comb += [
                written.write.eq(getattr(self.program_loader, f"write_{table}")),
                written.index.eq(self.program_loader.index),
                written.data.eq(self.program_loader.word),
            ]

    def _connect_watchdog(self, m: Module) -> None:
        """Connect the watchdog: a beat of a stream and the end of an op are moves."""
        ended = Cat(self.core.computes, self.core.loads, self.core.stores)
        before = Signal(3 * self.geometry.count_bits)
        m.d.sync += before.eq(ended)
        m.d.comb += [
            self.watchdog.enable.eq(self._running | self._starting | self.program_loader.active),
            self.watchdog.limit.eq(self.csr_file.timeout_cycles),
            self.watchdog.moved.eq((self.s_axis_tvalid & self.s_axis_tready) | (self.m_axis_tvalid & self.m_axis_tready)
                                   | (ended != before)),
        ]

    def _states(self, m: Module) -> None:
        """Remember what is going on: nothing, a load (the loader knows), a start, a run, or a fault."""
        bank, core, loader = self.csr_file, self.core, self.program_loader
        idle = ~(self._running | self._starting | self._stopped | loader.active)
        m.d.comb += core.start_valid.eq(self._starting)
        with m.If(idle & bank.control_load):
            m.d.comb += loader.start.eq(1)
            m.d.sync += self._program.eq(0)
        with m.If(idle & bank.control_start & self._program):
            m.d.sync += self._starting.eq(1)
        with m.If(self._starting & core.start_ready):
            m.d.sync += [
                self._starting.eq(0),
                self._running.eq(1),
            ]
        with m.If(self._running & ~core.busy):
            m.d.sync += self._running.eq(0)
            m.d.comb += bank.interrupt_done.eq(~self._stop)
        with m.If(loader.done):
            m.d.sync += self._program.eq(1)
            m.d.comb += bank.interrupt_done.eq(~self._stop)
        with m.If(self._stop):
            m.d.sync += [
                self._starting.eq(0),
                self._running.eq(0),
                self._stopped.eq(1),
                self._program.eq(0),
            ]
        m.d.comb += self._cleared.eq(self._stopped & bank.control_clear)
        with m.If(self._cleared):
            m.d.sync += self._stopped.eq(0)

    def _faults(self, m: Module) -> None:
        """Stop the machine at the first fault; of several in one cycle the last one here is reported."""
        bank, core, loader = self.csr_file, self.core, self.program_loader
        busy = self._running | self._starting | loader.active
        taken = self._running & core.i.ready & self.s_axis_tvalid
        commands = Cat(bank.control_load, bank.control_start)
        reasons = [
            (FaultCode.COMMAND, (commands.any() & busy) | commands.all()
             | (bank.control_start & ~self._program)),
            (FaultCode.TIMEOUT, self.watchdog.expired),
            (FaultCode.LENGTH, taken & Mux(self.s_axis_tlast, ~core.item_end, core.run_end)),
            (FaultCode.ADDRESS, core.violation.found),
            (FaultCode.ILLEGAL, core.illegal.found),
            (FaultCode.ABORTED, bank.control_abort),
        ]
        for code, found in reasons:
            with m.If(found):
                m.d.comb += [
                    self._stop.eq(~self._stopped),
                    self._reason.eq(code),
                ]
        with m.If(loader.failed):
            m.d.comb += [
                self._stop.eq(~self._stopped),
                self._reason.eq(loader.fault),
            ]
        with m.If(self._reason == FaultCode.ADDRESS):
            m.d.comb += self._at.eq(core.violation.op)
        with m.If(self._reason == FaultCode.ILLEGAL):
            m.d.comb += self._at.eq(core.illegal.op)
        m.d.comb += bank.interrupt_fault.eq(self._stop)
        with m.If(self._stop):
            m.d.sync += [
                bank.fault_code.eq(self._reason),
                bank.fault_op.eq(self._at),
            ]
        with m.If(self._cleared):
            m.d.sync += [
                bank.fault_code.eq(FaultCode.NONE),
                bank.fault_op.eq(0),
            ]
