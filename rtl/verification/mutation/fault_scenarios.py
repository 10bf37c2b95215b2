"""Scripts of what can go wrong at the buses: each ends in its fault code, after which the machine runs right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Any

from rtl.encoding.descriptors import pack
from rtl.encoding.geometry import Geometry
from rtl.encoding.hardware_id import signature
from rtl.encoding.program_image import (
    CHECKSUM_BITS,
    HEADER,
    IMAGE_VERSION,
    encode,
    program_image,
    program_words,
    seal,
    tables,
    unpack,
)
from rtl.shell.axi_lite import SLVERR
from rtl.shell.csr_map import COUNTER_BASE, COUNTER_NAMES, ID, REGISTER_VERSION, REGISTERS, register
from rtl.shell.fault_codes import FaultCode
from rtl.verification.mutation import abort_scenarios
from rtl.verification.mutation.fault_script import FaultScript, Inputs
from sim.arch.limits import LIMITS, HardwareLimits
from sim.plan.plan import Plan

__all__ = ["fault_scripts"]

def fault_scripts(plan: Plan, inputs: Inputs, limits: HardwareLimits = LIMITS) -> Iterator[tuple[str, str]]:
    """Yield names and texts of scripts around a Program with residuals, several ops and beats."""
    for name, make in SCRIPTS.items():
        script = FaultScript(plan, inputs, limits)
        make(script)
        yield name, "\n".join(script.lines) + "\n"


def _registers(script: FaultScript) -> None:
    """Read every register, write it in bytes, and check that the rest of the map is refused."""
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
        script.write("INTERRUPT_ENABLE", ~value & 3, strobe=14)
        script.read(enable.offset, value & 3)
    known = {reg.offset for reg in REGISTERS if reg.offset < COUNTER_BASE}
    counters = range(COUNTER_BASE, COUNTER_BASE + 8 * len(COUNTER_NAMES), 4)
    for offset in (*range(0, 0x40), *range(0x40, 0x1000, 0x24), *counters, *(counter + 1 for counter in counters),
                   counters.stop, counters.stop + 4, *(0x100 + (1 << bit) for bit in range(8, 12)), 0xFFC, 0xFFF,
                   *(place ^ 1 << bit for place in (*known, COUNTER_BASE) for bit in range(12))):
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


def _waits_on_the_bus(script: FaultScript) -> None:
    """Delay every channel: answers stay until they are taken, a write and a read overlap, addresses wait for data."""
    script.right()
    timeout, identity = register("TIMEOUT").offset, register("ID").offset
    for value in (0xDEADBEEF, 0x1, 0x0):
        script.lines += [
            f"set s_axil_awaddr {timeout:x}", f"set s_axil_wdata {value:x}", "set s_axil_wstrb f",
            f"set s_axil_araddr {identity:x}", "offer s_axil_awvalid s_axil_awready",
            "offer s_axil_arvalid s_axil_arready", "step 3", "set s_axil_awaddr 0", f"set s_axil_araddr {timeout:x}",
            "expect s_axil_awready 0 1", "expect s_axil_rvalid 1 1", f"expect s_axil_rdata {ID:x} ffffffff",
            "expect s_axil_rresp 0 3", "expect s_axil_bvalid 0 1", "offer s_axil_wvalid s_axil_wready", "step 4",
            "set s_axil_wdata 0", "expect s_axil_bvalid 1 1", "expect s_axil_bresp 0 3", "step 3",
            "expect s_axil_bvalid 1 1", f"expect s_axil_rdata {ID:x} ffffffff", "expect s_axil_rresp 0 3",
            "set s_axil_bready 1", "set s_axil_rready 1", "step 1", "set s_axil_bready 0", "set s_axil_rready 0",
            "expect s_axil_bvalid 0 1", "expect s_axil_rvalid 0 1"]
        script.read(timeout, value)
        script.lines += [
            f"set s_axil_wdata {value ^ 0xFF:x}", f"set s_axil_awaddr {timeout:x}", "offer s_axil_wvalid s_axil_wready",
            "step 3", "set s_axil_wdata 0", "expect s_axil_wready 0 1", "expect s_axil_bvalid 0 1",
            "offer s_axil_awvalid s_axil_awready", "step 1",
            "set s_axil_awaddr 0", "set s_axil_bready 1", "step 3", "set s_axil_bready 0", "expect s_axil_bvalid 0 1"]
        script.read(timeout, value ^ 0xFF)
    for reads in range(3):
        script.lines += [f"set s_axil_araddr {(timeout, identity, 0x30)[reads]:x}", "set s_axil_rready 1",
                         "offer s_axil_arvalid s_axil_arready", "wait s_axil_rvalid 1 8", "step 1",
                         "set s_axil_rready 0"]
    script.lines += [f"set s_axil_araddr {0x30:x}", "offer s_axil_arvalid s_axil_arready", "wait s_axil_rvalid 1 8",
                     *(f"expect s_axil_rresp {SLVERR:x} 3", "step 1") * 3, "set s_axil_rready 1", "step 1",
                     "set s_axil_rready 0"]
    script.write("TIMEOUT", 0)


def _images(script: FaultScript) -> None:
    """Load images with wrong headers, altered bytes and other lengths."""
    image, header = program_image(script.plan, script.limits), HEADER.size // 8
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


def _ops(script: FaultScript) -> None:
    """Break each limit of the machine by a field, and make places too small for their tensors."""
    words = program_words(script.plan, script.geometry)
    script.right()
    script.write("INTERRUPT_ENABLE", 2)
    for table in tables(script.geometry):
        for index, word in enumerate(words[table.name]):
            entry: dict[str, Any] = unpack(word, table.layout)
            one = (({name: value}, code) for name, value, code in _wrong_fields(table.name, entry, script.geometry))
            several = _wrong_slots(entry, script.geometry) if table.name == "compute" and not entry["pool"] else ()
            for fields, code in chain(one, several):
                altered = {kind: list(them) for kind, them in words.items()}
                altered[table.name][index] = pack({**entry, **fields}, table.layout, table.name)
                script.breaks(code, script.until_irq, image=encode(altered, script.geometry), op=entry["op"])
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
    for bit in range(geometry.limits.pixel_bits):
        for name in ("chunk_pixels", "last_chunk_pixels"):
            if 1 << bit >= machine.acc_depth:
                yield name, 1 << bit, FaultCode.ILLEGAL
    for bit in range(geometry.limits.step_bits):
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


def _wrong_slots(entry: Mapping[str, Any], geometry: Geometry) -> Iterator[tuple[dict[str, int], FaultCode]]:
    """Slots of the requantizer that are too short for one reason alone."""
    machine, plain = geometry.machine, {"bits_out": 0, "terms": 1, "residual_terms": 0}
    per_unit = geometry.rows_per_unit
    for terms, residual_terms in ((machine.terms, machine.terms), (machine.terms, 0), (1, 1), (1, machine.terms)):
        yield {"bits_out": 0, "terms": terms, "residual_terms": residual_terms, "residual_bits": 0,
               "requant_cycles": per_unit * (terms + residual_terms) - 2}, FaultCode.ILLEGAL
    for bits in (24, 25, 28, 31, 32, 63):
        if bits >= machine.acc_bits:
            yield {**plain, "bits_out": bits, "requant_cycles": 200}, FaultCode.ILLEGAL
    for bits in (2, 4, 7):
        yield {**plain, "residual_bits": bits, "has_residual": 1, "requant_cycles": bits - 1}, FaultCode.ILLEGAL
    for bits, phases in ((1, 1), (3, 1), (1, 2), (4, 2)):
        if phases < geometry.columns:
            yield {**plain, "bits_out": bits, "out_phases": phases,
                   "requant_cycles": (bits + 1) * (phases + 1) - 2}, FaultCode.ILLEGAL


def _packets(script: FaultScript) -> None:
    """Send tlast inside an item, and none at the end of the run."""
    script.write("INTERRUPT_ENABLE", 2)
    beats = [line for line in script.after_start() if line.startswith("beat")]
    for place in (0, 1, 2, len(beats) // 3, len(beats) // 2, len(beats) - 2):
        script.breaks(FaultCode.LENGTH, script.until_irq, edit=partial(_with_last, place, "1"))
    script.breaks(FaultCode.LENGTH, script.until_irq, edit=partial(_with_last, len(beats) - 1, "0"))
    script.right()


def _with_last(place: int, last: str, lines: list[str]) -> list[str]:
    """Return lines with another tlast in beat number `place`."""
    seen, found = -1, []
    for line in lines:
        words = line.split()
        if words[0] == "beat":
            seen += 1
            if seen == place:
                line = f"beat {words[1]} {last} {words[3]}"
        found.append(line)
    return found


SCRIPTS: Mapping[str, Callable[[FaultScript], None]] = {
    "registers": _registers, "bus": _waits_on_the_bus, "images": _images, "ops": _ops, "packets": _packets,
    "timeouts": abort_scenarios.timeouts, "aborts": abort_scenarios.aborts, "cut": abort_scenarios.cut_packet,
    "commands": abort_scenarios.commands, "interrupts": abort_scenarios.interrupts, "places": abort_scenarios.places,
    "late": abort_scenarios.late_op}
