"""What the benches of the whole machine share: a job's programs behind the buses, and images that are wrong.

The jobs are read from the folder BITWRIGHT_JOB: each has a plan, words (of its tables), inputs of several images, the
maps that they give and the counters that do not depend on when beats come.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.lib import data
from numpy.typing import NDArray

from rtl.cosim.jobs import Job, read_jobs
from rtl.encoding.geometry import Geometry
from rtl.encoding.program_image import CHECKSUM_BITS, HEADER, beat_bits, encode, seal, tables, unpack
from rtl.host.driver import Host, MachineFault
from rtl.shell.csr_map import register
from rtl.shell.fault_codes import FaultCode
from rtl.verification.benches.axi_driver import AxiPort

JOBS = read_jobs(Path(os.environ["BITWRIGHT_JOB"]))
TIMEOUT = 800
"""Cycles without a move after which the watchdog ends a test's run; no right one has as many."""
ROUNDS = int(os.environ.get("BITWRIGHT_ROUNDS", "4"))
"""How often tests with random faults are repeated."""
LIMIT_US = 1000 + 200 * ROUNDS
"""Simulated time after which a test has failed: several times what any of them takes."""
START, LOAD, ABORT, CLEAR = (register("CONTROL").field(name).mask for name in ("start", "load", "abort", "clear"))


class Session:
    """A port, and hosts of the job's programs."""

    def __init__(self, dut: Any) -> None:
        self.port = AxiPort(dut)
        self.hosts = [self.host(program) for program in JOBS]

    async def begin(self) -> None:
        """Reset, and give every activation word some value: drivers of buses know no undefined bits."""
        dut = self.port.dut
        await self.port.reset()
        machine = JOBS[0].plan.machine
        for bank in range(machine.columns):
            for region in range(machine.act_regions):
                memory = getattr(getattr(dut.core.activation_memory, f"bank_{bank}"), f"region_{region}").macro.mem
                for word in memory:
                    word.value = random.getrandbits(machine.lanes)

    @property
    def beat_bytes(self) -> int:
        """Bytes of a beat."""
        return beat_bits(JOBS[0].plan.machine) // 8

    def field(self, table: str, index: int, name: str) -> int:
        """Return a field of a word in the first Program's tables."""
        value = unpack(JOBS[0].facts["words"][table][index], layout_of(table))[name]
        assert isinstance(value, int)
        return value

    def op_name(self, table: str, index: int) -> str:
        """Return the name of the op that a word in the first Program's tables belongs to."""
        name: str = JOBS[0].plan.program.ops[self.field(table, index, "op")].name
        return name

    def host(self, program: Job, image: bytes | None = None) -> Host:
        """Return a host, with another image than the Program's if one is given."""
        return Host(self.port, program.plan, image or image_of(program), timeout_cycles=TIMEOUT)

    async def run(self, number: int = 0, load: bool = True, images: int = 1) -> None:
        """Run a Program and check its results."""
        program, host = JOBS[number], self.hosts[number]
        if load:
            await host.load()
        for image in range(images):
            result = await host.run(inputs_of(program, image))
            for name, codes in program.part("map").items():
                assert np.array_equal(result.maps[name], codes[image]), f"tensor {name}"
            for name, value in program.facts["counters"].items():
                assert result.counters[name] == value, f"{name} is {result.counters[name]}, not {value}"

    async def load_fails(self, image: bytes, code: FaultCode) -> None:
        """Check that an image is refused with a fault, after which the machine works."""
        await self.port.send(image)
        await self.command(LOAD)
        await self.until_fault()
        await self.stopped_with(code)
        await self.run()

    async def run_fails(self, code: FaultCode, image: bytes | None = None) -> MachineFault:
        """Check that a Program loads and then stops with a fault, after which the machine works."""
        program = JOBS[0]
        host = self.host(program, image)
        split, self.port.split = self.port.split, lambda packet: [packet]
        await host.load()
        self.port.split = split
        fault = await fails(host.run(inputs_of(program)), code)
        self.port.split = lambda packet: [packet]
        await self.run()
        return fault

    async def command(self, mask: int) -> None:
        """Write CONTROL."""
        await self.port.write(register("CONTROL").offset, mask)

    async def until_fault(self) -> None:
        """Wait for a fault, not for ever."""
        for _ in range(TIMEOUT):
            if await self.status("fault"):
                return
        raise AssertionError("no fault")

    async def stopped_with(self, code: FaultCode) -> None:
        """Check that the machine has stopped with a fault, and clear it."""
        assert await self.status("fault")
        found = register("FAULT").field("code").of(await self.port.read(register("FAULT").offset))
        assert found == code, f"fault {FaultCode(found).name}, not {code.name}"
        await self.hosts[0].clear()
        assert await self.port.read(register("FAULT").offset) == 0
        assert not await self.status("fault")

    async def status(self, name: str) -> int:
        """Read a field of STATUS."""
        return register("STATUS").field(name).of(await self.port.read(register("STATUS").offset))


async def fails(work: Any, code: FaultCode) -> MachineFault:
    """Await what must end with a fault."""
    found = await fault_of(work)
    assert found is not None, f"no fault, not {code.name}"
    assert found.code is code, f"{found.code.name}, not {code.name}"
    return found


async def fault_of(work: Any) -> MachineFault | None:
    """Await what may end with a fault."""
    try:
        await work
    except MachineFault as fault:
        return fault
    return None


async def session(dut: Any) -> Session:
    """Return a session after reset."""
    opened = Session(dut)
    await opened.begin()
    return opened


def inputs_of(program: Job, image: int = 0) -> dict[str, NDArray[np.int32]]:
    """Draw the inputs of an image."""
    return {name: codes[image] for name, codes in program.part("input").items()}


def image_of(program: Job) -> bytes:
    """Return the image of a Program."""
    return encode(program.facts["words"], Geometry(program.plan.machine))


def with_field(table: str, index: int, name: str, value: int) -> bytes:
    """Return the first Program's image with another value in a field of a table's word."""
    program = JOBS[0]
    words = {kind: list(them) for kind, them in program.facts["words"].items()}
    words[table][index] = replaced(words[table][index], layout_of(table)[name], value)
    return encode(words, Geometry(program.plan.machine))


def layout_of(table: str) -> data.StructLayout:
    """Layout of the words of a table."""
    return next(kind.layout for kind in tables(Geometry(JOBS[0].plan.machine)) if kind.name == table)


def with_header(name: str, value: int) -> bytes:
    """Return the first Program's image with another value in a field of its header."""
    geometry, size = Geometry(JOBS[0].plan.machine), HEADER.size // 8
    content = content_of(image_of(JOBS[0]))
    header = replaced(int.from_bytes(content[:size], "little"), HEADER[name], value)
    return seal(header.to_bytes(size, "little") + content[size:], geometry)


def content_of(image: bytes) -> bytes:
    """Return an image without its checksum."""
    beat = beat_bits(JOBS[0].plan.machine) // 8
    return image[: -max(CHECKSUM_BITS // 8, beat)]


def replaced(word: int, field: data.Field, value: int) -> int:
    """Return a word with another value in a field."""
    offset: int = field.offset
    mask = ((1 << field.width) - 1) << offset
    return int(word & ~mask) | value << offset
