"""Scripts of what can go wrong at the buses: each trouble ends in its fault code, and then the machine runs right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl.descriptor import pack
from rtl.faults import FaultCode
from rtl.geometry import Geometry
from rtl.image import (
    CHECKSUM_BITS,
    HEADER,
    IMAGE_VERSION,
    beat_bits,
    encode,
    program_image,
    program_words,
    seal,
    tables,
    unpack,
)
from rtl.mutation.scripts import Script
from rtl.registers import COUNTER_BASE, COUNTER_NAMES, ID, REGISTER_VERSION, REGISTERS, register
from rtl.signature import signature
from sim.limits import PIXEL_BITS, STEP_BITS
from sim.plan import Plan
from sim.timing import timeline

__all__ = ["trouble_scripts"]

ABORTS = 12
"""Cycles of a run in which it is aborted."""

Inputs = Mapping[str, NDArray[np.int32]]


def trouble_scripts(plan: Plan, inputs: Inputs) -> Iterator[tuple[str, str]]:
    """Names and texts of scripts around a Program with residuals, several records and beats."""
    for name, make in SCRIPTS.items():
        script = _Trouble(plan, inputs)
        make(script)
        yield name, "\n".join(script.lines) + "\n"


class _Trouble(Script):
    """A script around one Program."""

    def __init__(self, plan: Plan, inputs: Inputs) -> None:
        super().__init__()
        self.plan, self.inputs, self.geometry = plan, inputs, Geometry(plan.machine)
        self.width = beat_bits(plan.machine) // 8

    def right(self) -> None:
        """The Program runs right."""
        self.load(self.plan)
        self.run(self.plan, self.inputs)

    def fault(self, code: FaultCode, *, record: int = 0) -> None:
        """The machine has stopped; throw beats at it, which it must take, clear it."""
        self.status("fault")
        self.read(register("FAULT").offset, code | record << 16)
        self.lines += ["beat 1234 0 0", "beat ffff 1 0", "beat 0 0 0", "step 4", "quiet"]
        self.status("fault")
        self.read(register("FAULT").offset, code | record << 16)
        self.lines.append("loose 1")
        self.command("clear")
        self.forget()
        self.lines.append("loose 0")
        self.status()
        self.read(register("FAULT").offset, 0)
        for queue in ("COMPUTES", "LOADS", "STORES"):
            self.read(register(queue).offset, 0)

    def refused(self, image: bytes, code: FaultCode) -> None:
        """An image that does not load."""
        self.image(image, self.width)
        self.fault(code)

    @property
    def until_irq(self) -> str:
        """Wait for the interrupt."""
        return f"wait irq 1 {4 * timeline(self.plan).total + 400}"

    def after_start(self) -> list[str]:
        """Lines that `start` adds."""
        other = _Trouble(self.plan, self.inputs)
        before = len(other.lines)
        other.start(self.plan, self.inputs)
        return other.lines[before:]

    def breaks(self, code: FaultCode, wait: str, *, image: bytes | None = None, record: int = 0,
               edit: Callable[[list[str]], list[str]] = list, before: Sequence[str] = (), then: str = "") -> None:
        """A run that breaks off; what it still gives is not compared.

        Parameters
        ----------
        code : FaultCode
        wait : str
            Line after the start, when it runs.
        image : bytes or None
            Other than the Program's.
        record : int
            That is to blame.
        edit : function
            Of the lines that feed and start the run.
        before : sequence of str
            Lines before the start.
        then : str
            Command after `wait`.
        """
        self.image(image or program_image(self.plan), self.width)
        self.status("program")
        self.lines += ["loose 1", *before, *edit(self.after_start()), wait]
        if then:
            self.command(then)
        self.lines += ["gaps 0 0", "step 4", "forget", "step 8"]
        self.fault(code, record=record)
        self.write("INTERRUPT", 3)


def _registers(script: _Trouble) -> None:
    """Every register reads as it must, can be written in bytes, and the rest of the map is refused."""
    script.read(register("ID").offset, ID)
    script.read(register("VERSION").offset, IMAGE_VERSION | REGISTER_VERSION << 16)
    script.read(register("MACHINE").offset, signature(script.geometry))
    timeout, enable = register("TIMEOUT"), register("INTERRUPT_ENABLE")
    for value in (0xFFFFFFFF, 0, 0xA5A5A5A5, 0x5A5A5A5A, 0x00FF8001, 0):
        script.write("TIMEOUT", value)
        script.read(timeout.offset, value)
    for strobe in range(16):
        mask = sum(0xFF << 8 * byte for byte in range(4) if strobe >> byte & 1)
        script.write("TIMEOUT", 0xFFFFFFFF)
        script.write("TIMEOUT", 0x12345678, strobe)
        script.read(timeout.offset, (0x12345678 & mask) | (0xFFFFFFFF & ~mask))
    script.write("TIMEOUT", 0)
    for value in (0xFFFFFFFF, 1, 2, 0):
        script.write("INTERRUPT_ENABLE", value)
        script.read(enable.offset, value & 3)
    known = {reg.offset for reg in REGISTERS if reg.offset < COUNTER_BASE}
    counters = range(COUNTER_BASE, COUNTER_BASE + 8 * len(COUNTER_NAMES), 4)
    for offset in (*range(0, 0x40), *range(0x40, 0x1000, 0x24), *counters, *(counter + 1 for counter in counters),
                   counters.stop, counters.stop + 4, *(0x100 + (1 << bit) for bit in range(8, 12)), 0xFFC, 0xFFF,
                   *(1 << bit for bit in range(12)), *(COUNTER_BASE ^ (1 << bit) for bit in range(12))):
        if offset not in known and offset not in counters:
            script.read_refused(offset)
    writable = {register(name).offset for name in ("CONTROL", "TIMEOUT", "INTERRUPT_ENABLE", "INTERRUPT")}
    for offset in (*(known - writable), COUNTER_BASE, 0x30, 0x0D, 0x1A, 0xFFC,
                   *(0x18 ^ (1 << bit) for bit in range(12) if bit != 2),
                   *(0x0C ^ (1 << bit) for bit in range(12) if bit != 4)):
        script.write_refused(offset)
    script.status()
    script.read(timeout.offset, 0)
    script.right()


def _waits_on_the_bus(script: _Trouble) -> None:
    """Answers stay until they are taken, a write and a read go on side by side, addresses wait for data."""
    script.right()
    timeout, identity = register("TIMEOUT").offset, register("ID").offset
    for value in (0xDEADBEEF, 0x1, 0x0):
        script.lines += [
            f"set s_axil_awaddr {timeout:x}", f"set s_axil_wdata {value:x}", "set s_axil_wstrb f",
            f"set s_axil_araddr {identity:x}", "offer s_axil_awvalid s_axil_awready",
            "offer s_axil_arvalid s_axil_arready", "step 3", "set s_axil_awaddr 0", f"set s_axil_araddr {timeout:x}",
            "expect s_axil_rvalid 1 1", f"expect s_axil_rdata {ID:x} ffffffff", "expect s_axil_bvalid 0 1",
            "offer s_axil_wvalid s_axil_wready", "step 4", "set s_axil_wdata 0", "expect s_axil_bvalid 1 1",
            "expect s_axil_bresp 0 3", "step 3", "expect s_axil_bvalid 1 1", f"expect s_axil_rdata {ID:x} ffffffff",
            "set s_axil_bready 1", "set s_axil_rready 1", "step 1", "set s_axil_bready 0", "set s_axil_rready 0",
            "expect s_axil_bvalid 0 1", "expect s_axil_rvalid 0 1"]
        script.read(timeout, value)
        script.lines += [
            f"set s_axil_wdata {value ^ 0xFF:x}", f"set s_axil_awaddr {timeout:x}", "offer s_axil_wvalid s_axil_wready",
            "step 3", "set s_axil_wdata 0", "expect s_axil_bvalid 0 1", "offer s_axil_awvalid s_axil_awready", "step 1",
            "set s_axil_awaddr 0", "set s_axil_bready 1", "step 3", "set s_axil_bready 0", "expect s_axil_bvalid 0 1"]
        script.read(timeout, value ^ 0xFF)
    for reads in range(3):
        script.lines += [f"set s_axil_araddr {(timeout, identity, 0x30)[reads]:x}", "set s_axil_rready 1",
                         "offer s_axil_arvalid s_axil_arready", "wait s_axil_rvalid 1 8", "step 1",
                         "set s_axil_rready 0"]
    script.write("TIMEOUT", 0)


def _images(script: _Trouble) -> None:
    """Wrong headers, altered bytes, other lengths."""
    image, header = program_image(script.plan), HEADER.size // 8
    content = image[: -max(CHECKSUM_BITS // 8, script.width)]
    for bit in range(HEADER.size):
        name = next(name for name, field in HEADER if field.offset <= bit < field.offset + field.width)
        words = int.from_bytes(image[:header], "little") ^ 1 << bit
        count = HEADER[name]
        value = words >> count.offset & ((1 << count.width) - 1)
        depth = {table.name: table.depth for table in tables(script.geometry)}.get(name)
        if depth is None or not 0 < value <= depth:
            script.refused(seal(words.to_bytes(header, "little") + content[header:], script.geometry), FaultCode.HEADER)
    for table in tables(script.geometry):
        field = HEADER[table.name]
        for value in (0, table.depth + 1):
            words = int.from_bytes(image[:header], "little")
            words = words & ~(((1 << field.width) - 1) << field.offset) | value << field.offset
            script.refused(seal(words.to_bytes(header, "little") + content[header:], script.geometry), FaultCode.HEADER)
    for place in (*range(header, len(image), 29), *range(len(image) - 4, len(image))):
        altered = bytearray(image)
        altered[place] ^= 1 << place % 8
        script.refused(bytes(altered), FaultCode.CHECKSUM)
    for length in (*range(script.width, header + 3, script.width), *range(header, len(image), 11 * script.width),
                   len(image) - script.width):
        script.refused(image[:length], FaultCode.LENGTH)
    script.refused(image + bytes(script.width), FaultCode.LENGTH)
    script.right()


def _records(script: _Trouble) -> None:
    """Fields that break a limit of the machine, and places that are too small for their tensors."""
    words = program_words(script.plan, script.geometry)
    script.right()
    script.write("INTERRUPT_ENABLE", 2)
    for table in tables(script.geometry):
        for index, word in enumerate(words[table.name]):
            entry: dict[str, Any] = unpack(word, table.layout)
            for name, value, code in _wrong_fields(table.name, entry, script.geometry):
                altered = {kind: list(them) for kind, them in words.items()}
                altered[table.name][index] = pack({**entry, name: value}, table.layout, name)
                script.breaks(code, script.until_irq, image=encode(altered, script.geometry), record=entry["record"])
    script.write("INTERRUPT_ENABLE", 0)
    script.right()


def _wrong_fields(table: str, entry: Mapping[str, Any], geometry: Geometry) -> Iterator[tuple[str, int, FaultCode]]:
    """(field, value, fault) of what is wrong in an entry, one field at a time."""
    if table != "compute":
        if entry["valid"] and (table == "outward" or entry["load"]):
            yield "first", geometry.bank_words - 1, FaultCode.ILLEGAL
            yield "first", entry["last"] + 1, FaultCode.ILLEGAL
        elif entry["valid"]:
            yield "words", geometry.machine.weight_words + 1, FaultCode.ILLEGAL
        return
    for place in ("in", "out", "residual"):
        if entry[f"{place}_last"]:
            yield f"{place}_first", entry[f"{place}_first"] + 1, FaultCode.ADDRESS
            yield f"{place}_last", entry[f"{place}_last"] - 1, FaultCode.ADDRESS
    if entry["pool"]:
        return
    machine = geometry.machine
    for bit in range(PIXEL_BITS):
        for name in ("chunk_pixels", "last_chunk_pixels"):
            if 1 << bit >= machine.acc_depth:
                yield name, 1 << bit, FaultCode.ILLEGAL
    for bit in range(STEP_BITS):
        if entry["launch_at"] ^ 1 << bit > entry["step_cycles"]:
            yield "launch_at", entry["launch_at"] ^ 1 << bit, FaultCode.ILLEGAL
        yield "weights_from", entry["weights_from"] ^ 1 << bit, FaultCode.ILLEGAL
    yield "step_cycles", entry["launch_at"] - 1, FaultCode.ILLEGAL
    for name, values in {"terms": (0, machine.terms + 1, 8, 15), "residual_terms": (machine.terms + 1, 8, 15),
                         "rounding": (3,), "bits_out": (entry["requant_cycles"] + 1, machine.acc_bits, 63),
                         "requant_cycles": (0, entry["bits_out"] - 1)}.items():
        yield from ((name, value, FaultCode.ILLEGAL) for value in values if value >= 0)
    if entry["has_residual"]:
        yield "requant_cycles", entry["residual_bits"] - 1, FaultCode.ILLEGAL


def _packets(script: _Trouble) -> None:
    """A tlast inside an item, and none at the end of the run."""
    script.write("INTERRUPT_ENABLE", 2)
    beats = [line for line in script.after_start() if line.startswith("beat")]
    for place in (0, 1, 2, len(beats) // 3, len(beats) // 2, len(beats) - 2):
        script.breaks(FaultCode.LENGTH, script.until_irq, edit=partial(_with_last, place, "1"))
    script.breaks(FaultCode.LENGTH, script.until_irq, edit=partial(_with_last, len(beats) - 1, "0"))
    script.right()


def _with_last(place: int, last: str, lines: list[str]) -> list[str]:
    """Lines with another tlast in beat number `place`."""
    seen, found = -1, []
    for line in lines:
        words = line.split()
        if words[0] == "beat":
            seen += 1
            if seen == place:
                line = f"beat {words[1]} {last} {words[3]}"
        found.append(line)
    return found


def _timeouts(script: _Trouble) -> None:
    """Streams that stall end the run after TIMEOUT cycles, not before; 0 waits for ever."""
    script.write("INTERRUPT_ENABLE", 2)
    for limit in (64, 96, 128, 255, 0x100):
        script.write("TIMEOUT", limit)
        for gaps in ("gaps 1000 0", "gaps 0 1000"):
            total = timeline(script.plan).total
            script.breaks(FaultCode.TIMEOUT, f"wait irq 1 {total + limit + 60}", before=[gaps])
        script.command("load")
        script.lines += [f"step {limit - 8}", "expect irq 0 1", f"wait irq 1 {16}", "step 2"]
        script.fault(FaultCode.TIMEOUT)
        script.write("INTERRUPT", 3)
    for limit in (*(1 << bit for bit in range(10, 32)), 0):
        script.write("TIMEOUT", limit)
        script.command("load")
        script.lines += ["step 300", "expect irq 0 1"]
        script.status("loading")
        script.command("abort")
        script.fault(FaultCode.ABORTED)
        script.write("INTERRUPT", 3)
    script.write("TIMEOUT", 400)
    script.right()
    script.write("TIMEOUT", 0)
    script.write("INTERRUPT_ENABLE", 0)
    script.right()


def _aborts(script: _Trouble) -> None:
    """An abort while nothing happens, while an image is taken, and in many cycles of a run, the sink paused or not."""
    script.command("abort")
    script.fault(FaultCode.ABORTED)
    script.command("load")
    script.command("abort")
    script.fault(FaultCode.ABORTED)
    script.right()
    total = timeline(script.plan).total
    for number in range(ABORTS):
        script.breaks(FaultCode.ABORTED, f"step {1 + number * total // ABORTS}", before=[f"gaps 0 {number % 2 * 500}"],
                      then="abort")
        script.right()


def _cut_packet(script: _Trouble) -> None:
    """A beat that is offered when the machine stops stays, then the packet is closed by a beat of zeros."""
    takes = [line.split() for line in script.after_start() if line.startswith("take")]
    first = next(i for i, take in enumerate(takes) if take[3] == "0")
    assert first == 0
    for taken in (0, 1):
        script.image(program_image(script.plan), script.width)
        if not taken:
            script.lines.append("gaps 0 1000")
        script.start(script.plan, script.inputs)
        total = timeline(script.plan).total
        script.lines.append(f"wait m_axis_tvalid 1 {total}")
        if taken:
            script.lines += ["step 1", "gaps 0 1000", "step 1"]
        script.lines.append("loose 1")
        script.command("abort")
        script.lines += ["forget", "loose 0"]
        script.status("fault", "cut")
        value, mask = takes[taken][1:3]
        script.lines += [f"expect m_axis_tdata {value} {mask}", "expect m_axis_tvalid 1 1", "expect m_axis_tlast 0 1",
                         "step 9", f"expect m_axis_tdata {value} {mask}", f"take {value} {mask} 0", "take 0 ffff 1",
                         "gaps 0 0", "step 4", "quiet", "expect m_axis_tvalid 0 1"]
        script.fault(FaultCode.ABORTED)
        script.write("INTERRUPT", 3)
        script.right()


def _commands(script: _Trouble) -> None:
    """Commands that cannot be followed, clear when nothing is wrong, and everything while stopped."""
    for names in (("start",), ("start", "load"), ("start", "load", "clear")):
        script.command(*names)
        script.fault(FaultCode.COMMAND)
    script.command("clear")
    for name in ("start", "load"):
        script.breaks(FaultCode.COMMAND, "step 40", then=name)
        script.right()
        script.command("load")
        script.command(name)
        script.fault(FaultCode.COMMAND)
    script.right()
    script.command("clear")
    script.run(script.plan, script.inputs)
    script.command("load")
    script.command("start")
    for name in ("abort", "load", "start"):
        script.command(name)
    script.fault(FaultCode.COMMAND)
    script.right()


def _interrupts(script: _Trouble) -> None:
    """Events stand until they are cleared, irq follows their enables."""
    event, enable = register("INTERRUPT").offset, "INTERRUPT_ENABLE"
    script.read(event, 0)
    script.image(program_image(script.plan), script.width)
    script.read(event, 1)
    for value in (0, 1, 2, 3):
        script.write(enable, value)
        script.lines.append(f"expect irq {value & 1} 1")
    script.write("INTERRUPT", 2)
    script.read(event, 1)
    script.write("INTERRUPT", 1, strobe=14)
    script.read(event, 1)
    script.write("INTERRUPT", 1)
    script.read(event, 0)
    script.lines.append("expect irq 0 1")
    script.run(script.plan, script.inputs)
    script.read(event, 1)
    script.lines.append("expect irq 1 1")
    script.command("abort")
    script.read(event, 3)
    script.write("INTERRUPT", 1)
    script.read(event, 2)
    script.fault(FaultCode.ABORTED)
    for value in (0, 1, 2, 3):
        script.write(enable, value)
        script.lines.append(f"expect irq {value >> 1} 1")
    script.write("INTERRUPT", 3)
    script.lines.append("expect irq 0 1")
    script.right()


SCRIPTS: Mapping[str, Callable[[_Trouble], None]] = {
    "registers": _registers, "bus": _waits_on_the_bus, "images": _images, "records": _records, "packets": _packets,
    "timeouts": _timeouts, "aborts": _aborts, "cut": _cut_packet, "commands": _commands, "interrupts": _interrupts}
