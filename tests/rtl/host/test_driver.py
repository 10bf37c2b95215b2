"""The host driver against a machine in plain Python: what it sends, in which order, and what it makes of faults."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from rtl.encoding.stream_bytes import tensor_bytes, tensor_codes, tensor_length, word_bytes
from rtl.host.driver import Host, MachineFault
from rtl.shell.csr_map import COUNTER_NAMES, ID, REGISTERS, counter_offset, register
from rtl.shell.fault_codes import FaultCode
from sim.arch.machine import load_machine
from sim.errors import EngineError, InputError
from sim.functional.reference import simulate
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Load, Store, Tensor
from sim.ir.program import Program
from sim.plan.host_stream import RowTileItem, TableItem, TensorItem
from sim.plan.plan import plan

PAGE = Path(__file__).parents[3] / "docs" / "interface.md"
SIGNATURE = 0x1234ABCD
IMAGE = bytes(8) + SIGNATURE.to_bytes(4, "little") + bytes(20)
NAMES = {reg.offset: reg.name for reg in REGISTERS}


def await_all(coroutine: Coroutine):
    """The result of a coroutine whose awaits never wait."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("the fake machine never makes a host wait")


class FakeMachine:
    """A Port with a machine behind it that knows all codes beforehand and checks what it is sent."""

    def __init__(self, planned, codes):
        self.plan, self.codes = planned, codes
        self.registers = {"ID": ID, "MACHINE": SIGNATURE, "STATUS": 0, "FAULT": 0}
        self.sent: list[bytes] = []
        self.commands: list[str] = []
        self.writes: list[tuple[str, int]] = []
        self.fault: tuple[FaultCode, int] | None = None
        self.fault_after = 0
        self.short = False
        self.outward = iter(planned.outward())
        self.received = 0

    async def read(self, offset):
        if offset >= counter_offset("cycles"):
            index = (offset - counter_offset("cycles")) // 8
            return index if offset % 8 == 0 else 1
        return self.registers[NAMES[offset]]

    async def write(self, offset, value):
        name = NAMES[offset]
        self.writes.append((name, value))
        if name == "CONTROL":
            self.commands += [field.name for field in register(name).fields if value & field.mask]
            if self.commands[-1] == "clear":
                self.registers["FAULT"] = 0
            elif self.fault and not self.fault_after:
                self.stop()

    def stop(self):
        code, op = self.fault
        self.registers["FAULT"] = code | op << 16
        self.registers["STATUS"] = register("STATUS").field("cut").mask
        self.fault = None

    async def send(self, packet):
        self.sent.append(packet)

    async def receive(self, length):
        if self.registers["STATUS"]:  # the end of the packet that was cut
            self.registers["STATUS"] = 0
            return bytes(2)
        if self.fault and self.received == self.fault_after:
            self.stop()
            return None
        item = next(self.outward)
        self.received += 1
        packet = tensor_bytes(item.view(self.codes[item.host]), item.tensor, self.plan.machine)
        assert length == len(packet)
        return packet[:-2] if self.short else packet

    async def interrupt(self):
        assert self.writes[-1][0] == "CONTROL"

    async def settle(self):
        self.commands.append("settle")


def two_bands():
    """A layer that doubles, over two bands of rows; a second one reads all rows again after they were stored."""
    fmt, machine = Format(4, "unsigned"), load_machine("tiny")
    tensors = tuple(Tensor(name, height, 2, (4,), fmt) for name, height in [
        ("image", 4), ("top", 2), ("bottom", 2), ("top out", 2), ("bottom out", 2), ("host", 4), ("all", 4),
        ("result", 4)])

    def layer(name, source, target):
        return Conv(name, source, target, np.eye(4, dtype=np.int8).reshape(4, 4, 1, 1), Format(2, "signed"),
                    np.full((4, 1), 2, np.int8), np.zeros(4, np.int64), np.zeros(4, np.int64), 0, 15)

    ops = (
        Load("load top", "image", "top"), layer("top", "top", "top out"), Store("store top", "top out", "host"),
        Load("load bottom", "image", "bottom", 2), layer("bottom", "bottom", "bottom out"),
        Store("store bottom", "bottom out", "host", 2), Load("load all", "host", "all"),
        layer("again", "all", "result"), Store("store result", "result", "result"))
    return plan(Program(tensors, ops, Arithmetic(acc_bits=24, window=10, terms=3)), machine)


@pytest.fixture
def planned():
    """The Program of two bands on `tiny`."""
    return two_bands()


@pytest.fixture
def image():
    """Codes of its input."""
    return {"image": np.random.default_rng(4).integers(0, 8, (4, 4, 2))}


@pytest.fixture
def machine(planned, image):
    """A fake machine that expects the image."""
    codes = simulate(planned.program, {"image": image["image"][None]})
    return FakeMachine(planned, {name: array[0] for name, array in codes.items()})


@pytest.fixture
def host(machine, planned):
    """A host with a short patience."""
    return Host(machine, planned, IMAGE, timeout_cycles=77)


def test_loading_sends_the_image(host, machine):
    """The watchdog is set before, the image is on its way when the command comes."""
    await_all(host.load())
    assert machine.sent == [IMAGE]
    assert ("TIMEOUT", 77) in machine.writes
    assert machine.commands == ["load"]


def test_another_machine_is_refused(host, machine):
    """A machine with another signature gets nothing."""
    machine.registers["MACHINE"] = 5
    message = "not the machine of the program: its register MACHINE is 0x00000005, not 0x1234abcd"
    with pytest.raises(EngineError, match=f"^{re.escape(message)}$"):
        await_all(host.load())
    assert machine.sent == []


def test_a_run_gives_all_maps_and_counters(host, machine, image):
    """Maps in the host's memory hold what was received, counters are put together of their halves."""
    result = await_all(host.run(image))
    for name in ("image", "host", "result"):
        assert np.array_equal(result.maps[name], machine.codes[name])
    assert set(result.maps) == {"image", "host", "result"}
    assert result.counters == {name: index + (1 << 32) for index, name in enumerate(COUNTER_NAMES)}


def test_rows_are_sent_when_they_are_there(host, machine, planned, image):
    """What reads rows that Stores write is held back until they were received, everything before goes at once."""
    await_all(host.run(image))
    packed = []
    for item in planned.inward():
        match item:
            case RowTileItem() | TableItem():
                packed.append(word_bytes(item.words, planned.machine))
            case TensorItem():
                packed.append(tensor_bytes(item.view(machine.codes[item.host]), item.tensor, planned.machine))
    first = sum(len(piece) for piece in packed[:4])
    assert [len(packet) for packet in machine.sent] == [first, sum(map(len, packed)) - first]
    assert b"".join(machine.sent) == b"".join(packed)


def test_wrong_inputs_are_refused(host, machine):
    """A code that the format does not have is refused before anything is sent."""
    with pytest.raises(InputError, match="code 16 at"):
        await_all(host.run({"image": np.full((4, 4, 2), 16)}))
    assert machine.sent == []
    assert machine.writes == []


@pytest.mark.parametrize("after", [0, 1])
def test_a_fault_is_told_and_cleared(host, machine, image, after):
    """The exception names the fault and its op; before it, packets are let out and the machine is cleared."""
    machine.fault, machine.fault_after = (FaultCode.ADDRESS, 4), after
    message = ("the machine stopped with ADDRESS in op 'bottom': an op left the place of its tensor; "
               "the access was not made")
    with pytest.raises(MachineFault, match=f"^{re.escape(message)}$") as caught:
        await_all(host.run(image))
    assert caught.value.code is FaultCode.ADDRESS
    assert machine.commands == ["start", "settle", "clear"]


def test_a_refused_image_is_told(host, machine):
    """A fault without an op names none."""
    machine.fault = FaultCode.HEADER, 3
    with pytest.raises(MachineFault, match=r"^the machine stopped with HEADER: what was loaded is not a program"):
        await_all(host.load())


def test_a_short_packet_is_no_result(host, machine, image):
    """A packet that lost beats is not taken for a tensor; the machine, which may still run, is aborted."""
    machine.short = True
    message = "tensor 'top out' did not come whole, though the machine reports no fault; it was aborted"
    with pytest.raises(EngineError, match=f"^{re.escape(message)}$"):
        await_all(host.run(image))
    assert machine.commands == ["start", "abort", "settle", "clear"]


def test_patience_covers_the_run(machine, planned):
    """By default the watchdog waits for longer than the whole run takes."""
    await_all(Host(machine, planned, IMAGE).load())
    assert dict(machine.writes)["TIMEOUT"] > 1 << 20


def test_noise_beside_codes_changes_no_code(machine, planned, image):
    """With noise, what is sent for a tensor still holds its codes."""
    await_all(Host(machine, planned, IMAGE, noise=np.random.default_rng(0)).run(image))
    item = next(planned.inward())
    packet = machine.sent[0][: tensor_length(item.tensor, planned.machine)]
    assert np.array_equal(tensor_codes(packet, item.tensor, planned.machine), item.view(machine.codes["image"]))
    assert packet != tensor_bytes(item.view(machine.codes["image"]), item.tensor, planned.machine)


class FakeChannel:
    """A channel of PYNQ's DMA class, in front of the fake machine."""

    def __init__(self, machine):
        self.machine, self.transferred = machine, 0

    def transfer(self, buffer):
        self.buffer = buffer

    def stop(self):
        self.machine.commands.append("settle")

    def start(self):
        pass


class SendChannel(FakeChannel):
    async def wait_async(self):
        await asyncio.sleep(0)
        await self.machine.send(self.buffer.tobytes())


class ReceiveChannel(FakeChannel):
    async def wait_async(self):
        await asyncio.sleep(0.01)
        packet = await self.machine.receive(len(self.buffer))
        if packet is None:
            self.machine.irq.set()
            await asyncio.sleep(1)
        self.buffer[: len(packet)] = np.frombuffer(packet, np.uint8)
        self.transferred = len(packet)


@pytest.fixture
def board_port(machine, monkeypatch):
    """The Port that the documentation shows for PYNQ, on a model of PYNQ's classes."""
    pynq = ModuleType("pynq")
    pynq.allocate, pynq.Overlay = lambda count, kind: np.zeros(count, kind), None
    monkeypatch.setitem(sys.modules, "pynq", pynq)
    shown = {}
    exec(re.search(r"```py\n(.*?)```", PAGE.read_text(), re.DOTALL)[1], shown)
    machine.irq = asyncio.Event()

    def write(offset, value):
        await_all(machine.write(offset, value))
        if offset == register("INTERRUPT_ENABLE").offset and not value:
            machine.irq.clear()

    mmio = SimpleNamespace(read=lambda offset: await_all(machine.read(offset)), write=write)
    return shown["BoardPort"](SimpleNamespace(
        bitwright=SimpleNamespace(mmio=mmio, irq=machine.irq),
        dma=SimpleNamespace(sendchannel=SendChannel(machine), recvchannel=ReceiveChannel(machine))))


def test_the_documented_port_works(board_port, machine, planned, image):
    """Behind asyncio and DMA channels, a load and a run are what they are elsewhere."""

    async def both():
        host = Host(board_port, planned, IMAGE)
        loading = asyncio.create_task(host.load())
        await asyncio.sleep(0.01)
        machine.irq.set()
        await loading
        machine.irq.clear()
        running = asyncio.create_task(host.run(image))
        while machine.received < 3:
            await asyncio.sleep(0.01)
        machine.irq.set()
        return await running

    result = asyncio.run(both())
    assert np.array_equal(result.maps["result"], machine.codes["result"])
    assert machine.sent[0] == IMAGE
    assert len(machine.sent) == 3


def test_the_documented_port_ends_with_a_fault(board_port, machine, planned, image):
    """When irq rises instead of a packet, the fault is told and the machine cleared."""
    machine.fault, machine.fault_after = (FaultCode.TIMEOUT, 0), 1
    with pytest.raises(MachineFault, match=r"^the machine stopped with TIMEOUT"):
        asyncio.run(Host(board_port, planned, IMAGE).run(image))
    assert machine.commands == ["start", "settle", "clear"]


def test_a_host_needs_no_hardware_generator() -> None:
    """The driver and its register map can be used where Amaranth is not installed."""
    block = "import sys; sys.modules['amaranth'] = None; import rtl.host.driver"
    subprocess.run([sys.executable, "-c", block], check=True)
