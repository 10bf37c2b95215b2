"""The register map: one table from which the hardware, its documents and the host driver take everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rtl.core.control.counter_names import COUNTERS
from rtl.shell.fault_codes import FAULT_BITS, FaultCode

__all__ = ["ADDRESS_BITS", "COUNTER_BASE", "COUNTER_NAMES", "ID", "REGISTERS", "REGISTER_VERSION", "Register",
           "RegisterField", "counter_offset", "register"]

ADDRESS_BITS = 12
"""Byte addresses of the AXI4-Lite slave: the 4 KiB that buses are mapped in."""
ID = int.from_bytes(b"BITW", "big")
REGISTER_VERSION = 1
COUNTER_BASE = 0x100
"""Offset of the first counter; eight bytes for each."""
COUNTER_NAMES = ("cycles", *COUNTERS)
"""Counters in the order of their offsets."""

Access = Literal["read", "read-write", "write", "event"]


@dataclass(frozen=True)
class RegisterField:
    """Some bits of a register.

    Parameters
    ----------
    name : str
    low : int
        Lowest bit.
    width : int
        Bits.
    text : str
        What it means, a sentence without its full stop.
    values : type of FaultCode or None
        Names of its values.
    """

    name: str
    low: int
    width: int
    text: str
    values: type[FaultCode] | None = None

    @property
    def mask(self) -> int:
        """Return a mask of the field's bits in the register."""
        return ((1 << self.width) - 1) << self.low

    def of(self, word: int) -> int:
        """Return the field's value in a word.

        >>> RegisterField("code", 4, 4, "").of(0x1A5)
        10
        """
        return (word & self.mask) >> self.low


@dataclass(frozen=True)
class Register:
    """A 32-bit register.

    Parameters
    ----------
    name : str
    offset : int
        Bytes from the start of the map.
    access : {"read", "read-write", "write", "event"}
        `write`: a one gives a command and reads as 0; `event`: set by the machine, a one written clears it.
    fields : tuple of RegisterField
    text : str
    """

    name: str
    offset: int
    access: Access
    fields: tuple[RegisterField, ...]
    text: str

    def field(self, name: str) -> RegisterField:
        """Return the field of that name."""
        return next(field for field in self.fields if field.name == name)


def counter_offset(name: str) -> int:
    """Return the offset of the low half of a counter; the high half follows.

    >>> hex(counter_offset("cycles"))
    '0x100'
    """
    return COUNTER_BASE + 8 * COUNTER_NAMES.index(name)


def register(name: str) -> Register:
    """Return the register of that name.

    >>> register("STATUS").offset
    16
    """
    return next(register for register in REGISTERS if register.name == name)


def _word(name: str, text: str) -> tuple[RegisterField, ...]:
    return (RegisterField(name, 0, 32, text),)


def _interrupts(text: str) -> tuple[RegisterField, ...]:
    return (RegisterField("done", 0, 1, f"{text} a load or a run has ended without a fault"),
            RegisterField("fault", 1, 1, f"{text} the machine has stopped with a fault"))


def _counters() -> tuple[Register, ...]:
    return tuple(
        Register(f"{name.upper()}_{half.upper()}", counter_offset(name) + 4 * (half == "high"), "read",
                 _word("count", f"bits {'63..32' if half == 'high' else '31..0'} of the counter '{name}'"),
                 f"Counter '{name}' of the running or the last run"
                 + (", kept when its low half was read." if half == "high" else "."))
        for name in COUNTER_NAMES for half in ("low", "high"))


REGISTERS: tuple[Register, ...] = (
    Register("ID", 0x00, "read", _word("id", f"0x{ID:08X}, 'BITW' in ASCII"), "Tells that this is the accelerator."),
    Register("VERSION", 0x04, "read", (
        RegisterField("image", 0, 16, "version of the program image that is accepted"),
        RegisterField("registers", 16, 16, "version of this register map")), "Versions of the interface."),
    Register("MACHINE", 0x08, "read", _word("signature", "signature of the machine, as in the image's header"),
             "Tells which machine this is."),
    Register("CONTROL", 0x0C, "write", (
        RegisterField("load", 0, 1, "take a program image from the inward stream"),
        RegisterField("start", 1, 1, "run the program that is loaded, once"),
        RegisterField("abort", 2, 1, "stop with the fault ABORTED"),
        RegisterField("clear", 3, 1, "end a fault: the machine is reset, TIMEOUT and INTERRUPT_ENABLE stay")),
        "Commands."),
    Register("STATUS", 0x10, "read", (
        RegisterField("loading", 0, 1, "a program image is being taken"),
        RegisterField("running", 1, 1, "a program runs"),
        RegisterField("fault", 2, 1,
                      "stopped, see FAULT; beats of the inward stream are thrown away until CONTROL.clear"),
        RegisterField("program", 3, 1, "a program is loaded"),
        RegisterField("cut", 4, 1, "a fault cut an outward packet, whose end is still to be taken")),
        "What the machine is doing."),
    Register("FAULT", 0x14, "read", (
        RegisterField("code", 0, FAULT_BITS, "the reason, see Faults", FaultCode),
        RegisterField("op", 16, 16, "index of the op in the planned Program, with ILLEGAL and ADDRESS")),
        "Why the machine has stopped."),
    Register("TIMEOUT", 0x18, "read-write",
             _word("cycles", "cycles without a beat and without the end of an op; 0: wait for ever"),
             "When a load or a run is given up."),
    Register("INTERRUPT_ENABLE", 0x1C, "read-write", _interrupts("raise irq when"), "What raises irq."),
    Register("INTERRUPT", 0x20, "event", _interrupts("since it was cleared,"),
             "What has happened; irq is high while an enabled bit is."),
    Register("COMPUTES", 0x24, "read", _word("ended", "Convs and Pools of the run that have ended"), "Progress."),
    Register("LOADS", 0x28, "read", _word("ended", "Loads of the run that have ended"), "Progress."),
    Register("STORES", 0x2C, "read", _word("ended", "Stores of the run that have ended"), "Progress."),
    *_counters(),
)
"""All registers, by offset. Other offsets are unmapped."""
