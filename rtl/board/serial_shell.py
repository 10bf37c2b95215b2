"""The accelerator with a serial line in place of its buses."""

from __future__ import annotations

from amaranth.hdl import ClockSignal, Instance, Module, ResetInserter, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from rtl.board.serial_bridge import SerialBridge
from rtl.board.uart import UartReceiver, UartTransmitter
from rtl.encoding.program_image import beat_bits
from rtl.shell.axi_lite import AXI_LITE_PORTS
from rtl.verilog.emit import TOP
from sim.arch.machine import Machine

__all__ = ["SerialShell"]


class SerialShell(wiring.Component):
    """Instantiate the Verilog of a machine behind a serial line. A break on the line resets all of it.

    Parameters
    ----------
    machine : Machine
    bit_cycles : int, at least 4
        Cycles of a bit on the line.

    Members
    -------
    rx : the line from the host
    tx : the line to the host
    busy : a Program runs
    irq : interrupt request of the machine
    """

    def __init__(self, machine: Machine, bit_cycles: int) -> None:
        self.machine, self.bit_cycles = machine, bit_cycles
        super().__init__({
            "rx": In(1),
            "tx": Out(1),
            "busy": Out(1),
            "irq": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        receiver, transmitter = UartReceiver(self.bit_cycles), UartTransmitter(self.bit_cycles)
        bridge = SerialBridge(beat_bits(self.machine))
        m.submodules.receiver = receiver
        m.submodules.transmitter = transmitter
        m.submodules.bridge = ResetInserter(receiver.broken)(bridge)
        connect(m, bridge.o, transmitter.i)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            bridge.data.eq(receiver.data),
            bridge.valid.eq(receiver.valid),
            bridge.irq.eq(self.irq),
        ]
        m.submodules.machine = Instance(
            TOP, i_clk=ClockSignal(), i_rst=ResetSignal() | receiver.broken, o_irq=self.irq, o_trace_busy=self.busy,
            i_s_axis_tvalid=bridge.inward.valid, o_s_axis_tready=bridge.inward.ready,
            i_s_axis_tdata=bridge.inward.payload.data, i_s_axis_tlast=bridge.inward.payload.last,
            o_m_axis_tvalid=bridge.outward.valid, i_m_axis_tready=bridge.outward.ready,
            o_m_axis_tdata=bridge.outward.payload.data, o_m_axis_tlast=bridge.outward.payload.last,
            **{f"{'i' if member.flow is In else 'o'}_s_axil_{name}": getattr(bridge.bus, name)
               for name, member in AXI_LITE_PORTS.items()})
        return m
