"""The control and status registers that the AXI4-Lite slave reaches."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.core.control.counter_names import COUNTERS
from rtl.shell.axi_lite import CsrAccess
from rtl.shell.csr_map import COUNTER_BASE, COUNTER_NAMES, REGISTERS, Register, RegisterField, register
from sim.arch.limits import LIMITS

__all__ = ["CsrFile", "port_name"]

PLAIN = tuple(r for r in REGISTERS if r.offset < COUNTER_BASE)
"""Registers that are not counters."""


def port_name(register: Register, field: RegisterField) -> str:
    """Return the name of a field's port: `status_running`."""
    return f"{register.name}_{field.name}".lower()


class CsrFile(wiring.Component):
    """Hold all registers of `rtl.shell.csr_map`.

    Each field that is not a counter's has a port, which `port_name` names. For `read` registers it is an input with the
    value, for `read-write` ones an output with the value, for `write` ones an output that pulses, for `event` ones an
    input that sets the field.

    Members
    -------
    id_id : value of ID
    version_image : version of the program image that is accepted
    version_registers : version of the register map
    machine_signature : signature of the machine
    control_load : the host commands that a program image be loaded, for one cycle
    control_start : the host commands that the program run, for one cycle
    control_abort : the host commands a stop, for one cycle
    control_clear : the host ends a fault, for one cycle
    status_loading : a program image is being taken
    status_running : a program runs
    status_fault : the machine has stopped with a fault
    status_program : a program is loaded
    status_cut : a fault cut an outward packet, whose end is still to be taken
    fault_code : why the machine has stopped
    fault_op : index of the op that caused the fault
    timeout_cycles : cycles without progress after which the machine stops; 0: it waits for ever [cycles]
    interrupt_enable_done : `irq` rises when a load or a run ends
    interrupt_enable_fault : `irq` rises when the machine stops with a fault
    interrupt_done : a load or a run ends without a fault in this cycle
    interrupt_fault : the machine stops with a fault in this cycle
    computes_ended : Convs and Pools of the run that have ended
    loads_ended : Loads of the run that have ended
    stores_ended : Stores of the run that have ended
    access : reads and writes of the registers
    cycle : cycles of the running or the last run
    counter_number : number of a performance counter
    counter_value : value of that counter
    irq : an enabled bit of INTERRUPT is set
    """

    def __init__(self) -> None:
        ports: dict[str, object] = {}
        for reg in PLAIN:
            direction = Out if reg.access in ("read-write", "write") else In
            ports |= {port_name(reg, field): direction(field.width) for field in reg.fields}
        super().__init__({
            **ports,
            "access": In(CsrAccess()),
            "cycle": In(LIMITS.counter_bits),
            "counter_number": Out(range(len(COUNTERS))),
            "counter_value": In(LIMITS.counter_bits),
            "irq": Out(1),
        })
        self._events = {port_name(reg, field): Signal(field.width, name=f"{port_name(reg, field)}_flag")
                        for reg in PLAIN if reg.access == "event" for field in reg.fields}

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._write(m)
        self._read(m)
        enable, event = register("INTERRUPT_ENABLE"), register("INTERRUPT")
        m.d.comb += self.irq.eq(Cat(
            getattr(self, port_name(enable, field)) & self._events[port_name(event, field)]
            for field in enable.fields).any())
        return m

    def _write(self, m: Module) -> None:
        """Write fields under the mask of the strobes; the machine sets events also while they are cleared."""
        mask = Cat(strobe.replicate(8) for strobe in self.access.write_strobe)
        ones = Signal(32)
        m.d.comb += [
            self.access.write_error.eq(1),
            ones.eq(self.access.write_data & mask),
        ]
        with m.Switch(self.access.write_address):
            for reg in PLAIN:
                if reg.access != "read":
                    with m.Case(reg.offset):
                        m.d.comb += self.access.write_error.eq(0)
                        with m.If(self.access.write):
                            self._write_fields(m, reg, ones, mask)
        for name, flag in self._events.items():
            with m.If(getattr(self, name)):
                m.d.sync += flag.eq(1)

    def _write_fields(self, m: Module, reg: Register, ones: Signal, mask: Value) -> None:
        for field in reg.fields:
            port, bits = getattr(self, port_name(reg, field)), slice(field.low, field.low + field.width)
            match reg.access:
                case "write":
                    m.d.comb += port.eq(ones[bits])
                case "event":
                    flag = self._events[port_name(reg, field)]
                    m.d.sync += flag.eq(flag & ~ones[bits])
                case _:
                    m.d.sync += port.eq(ones[bits] | (port & ~mask[bits]))

    def _read(self, m: Module) -> None:
        """Read plain registers and counters; the high half of a counter is that of the last low half read."""
        count = Signal(LIMITS.counter_bits)
        high = Signal(LIMITS.counter_bits - 32)
        index = Signal(range(COUNTER_BASE // 8))
        m.d.comb += [
            self.access.read_error.eq(1),
            index.eq(self.access.read_address[3:]),
            self.counter_number.eq(index - 1),
            count.eq(Mux(index == 0, self.cycle, self.counter_value)),
        ]
        with m.Switch(self.access.read_address):
            for reg in PLAIN:
                with m.Case(reg.offset):
                    m.d.comb += [
                        self.access.read_error.eq(0),
                        self.access.read_data.eq(self._value(reg)),
                    ]
        counters = self.access.read_address[COUNTER_BASE.bit_length() - 1 :] == 1
        with m.If(counters & (index < len(COUNTER_NAMES)) & (self.access.read_address[:2] == 0)):
            m.d.comb += [
                self.access.read_error.eq(0),
                self.access.read_data.eq(Mux(self.access.read_address[2], high, count[:32])),
            ]
            with m.If(self.access.read & ~self.access.read_address[2]):
                m.d.sync += high.eq(count[32:])

    def _value(self, reg: Register) -> Value:
        """Return what a register reads as."""
        if reg.access == "write":
            return Const(0, 32)
        parts, position = [], 0
        for field in reg.fields:
            name = port_name(reg, field)
            parts += [Const(0, field.low - position), self._events.get(name, getattr(self, name))]
            position = field.low + field.width
        return Cat(*parts)
