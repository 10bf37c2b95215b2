"""The host's side of the machine: load a Program, run images, end faults.

A `Host` knows the machine by its registers and streams alone, which a `Port` reaches: in a simulation, or through the
bus and the DMA engine of a board. It awaits nothing but the Port, so any event loop can run it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rtl.encoding.stream_bytes import tensor_bytes, tensor_codes, tensor_length, word_bytes
from rtl.shell.csr_map import COUNTER_NAMES, ID, counter_offset, register
from rtl.shell.fault_codes import FAULT_TEXTS, FaultCode
from sim.errors import EngineError
from sim.plan.host_stream import RowTileItem, TableItem, TensorItem
from sim.plan.plan import Plan

__all__ = ["Host", "MachineFault", "Port", "Run"]

Codes = NDArray[np.int32]

PATIENCE = 1 << 20
"""Cycles that the host may be late with a beat before the machine gives up, by default."""


class Port(Protocol):
    """How a host reaches the machine. Packets are whole beats, as `rtl.encoding.stream_bytes` makes them."""

    async def read(self, offset: int) -> int:
        """Read a register."""

    async def write(self, offset: int, value: int) -> None:
        """Write a register."""

    async def send(self, packet: bytes) -> None:
        """Queue a packet for the inward stream, with tlast on its last beat; do not wait until it is taken."""

    async def receive(self, length: int) -> bytes | None:
        """Return the next outward packet, of at most `length` bytes, or None if irq is high and none comes."""

    async def interrupt(self) -> None:
        """Wait until irq is high."""

    async def settle(self) -> None:
        """Wait until all packets that were queued are taken, then forget those that were received meanwhile."""


class MachineFault(EngineError):
    """The machine stopped with a fault; it was cleared, and a Program must be loaded again.

    Attributes
    ----------
    code : FaultCode
    """

    def __init__(self, code: FaultCode, op: str | None) -> None:
        where = f" in op '{op}'" if op else ""
        super().__init__(f"the machine stopped with {code.name}{where}: {FAULT_TEXTS[code]}")
        self.code = code


@dataclass(frozen=True)
class Run:
    """What one run gave.

    Attributes
    ----------
    maps : dict of str to int32 array, shape (channels, height, width)
        Every tensor in the host's memory, inputs included.
    counters : dict of str to int
        `rtl.shell.csr_map.COUNTER_NAMES`.
    """

    maps: dict[str, Codes]
    counters: dict[str, int]


@dataclass
class _Segment:
    """Inward items that can be sent when `written` Stores have been received."""

    written: int
    items: list[bytes | TensorItem] = field(default_factory=list)


class Host:
    """Drive a machine.

    Parameters
    ----------
    port : Port
    plan : Plan
    image : bytes
        The plan's program image, `rtl.encoding.program_image.program_image`.
    timeout_cycles : int or None
        For the machine's watchdog, 0: never; None: the length of a run and time for a slow host.
    noise : Generator or None
        Of random bits for the lanes without a code, to show that they do not matter; None: zeros.
    """

    def __init__(self, port: Port, plan: Plan, image: bytes, *, timeout_cycles: int | None = None,
                 noise: np.random.Generator | None = None) -> None:
        self._port, self._plan, self._image, self._noise = port, plan, image, noise
        self._timeout = plan.timeline.total + PATIENCE if timeout_cycles is None else timeout_cycles
        self._segments, self._stores = _segments(plan), tuple(plan.outward())

    async def load(self) -> None:
        """Load the Program; it stays until another is loaded or a fault.

        Raises
        ------
        EngineError
            If there is no such machine at the port.
        MachineFault
            If the machine refuses the image.
        """
        await self._identify()
        await self._write("TIMEOUT", self._timeout)
        await self._port.send(self._image)
        await self._command("load")
        await self._port.interrupt()
        await self._check()

    async def run(self, inputs: Mapping[str, NDArray[np.integer]]) -> Run:
        """Run the Program that is loaded on one image.

        Parameters
        ----------
        inputs : mapping of name to integer array, shape (channels, height, width)

        Raises
        ------
        InputError
            If the inputs are not codes of the Program's inputs.
        MachineFault
            If the machine stops.
        EngineError
            If packets are lost on the way.
        """
        program = self._plan.program
        program.check_inputs({name: codes[None] for name, codes in inputs.items()})
        maps = {name: codes.astype(np.int32) for name, codes in inputs.items()}
        for item in self._stores:
            maps.setdefault(item.host, np.zeros(program.tensor(item.host).shape, np.int32))
        waiting = list(self._segments)
        await self._send(waiting, 0, maps)
        await self._command("start")
        missing = await self._exchange(waiting, maps)
        await self._check()
        if missing is not None:
            await self._write("CONTROL", register("CONTROL").field("abort").mask)
            await self.clear()
            raise EngineError(f"tensor '{missing}' did not come whole, though the machine reports no fault; "
                              "it was aborted")
        return Run(maps, {name: await self._counter(name) for name in COUNTER_NAMES})

    async def clear(self) -> None:
        """End a fault: whatever is still on its way is taken, and the machine is as after reset."""
        await self._write("INTERRUPT_ENABLE", 0)
        while register("STATUS").field("cut").of(await self._read("STATUS")):
            await self._port.receive(self._longest)
        await self._port.settle()
        await self._write("CONTROL", register("CONTROL").field("clear").mask)

    @property
    def _longest(self) -> int:
        return max((self._length(item) for item in self._stores), default=0)

    def _length(self, item: TensorItem) -> int:
        return tensor_length(item.tensor, self._plan.machine)

    async def _exchange(self, waiting: list[_Segment], maps: Mapping[str, Codes]) -> str | None:
        """Receive the Stores and send what waits for them, until the machine has ended; a tensor that is missing."""
        for received, item in enumerate(self._stores, start=1):
            packet = await self._port.receive(self._length(item))
            if packet is None or len(packet) != self._length(item):
                return item.tensor.name
            item.view(maps[item.host])[:] = tensor_codes(packet, item.tensor, self._plan.machine)
            await self._send(waiting, received, maps)
        await self._port.interrupt()
        return None

    async def _send(self, waiting: list[_Segment], received: int, maps: Mapping[str, Codes]) -> None:
        while waiting and waiting[0].written <= received:
            await self._port.send(b"".join(self._bytes(item, maps) for item in waiting.pop(0).items))

    def _bytes(self, item: bytes | TensorItem, maps: Mapping[str, Codes]) -> bytes:
        if isinstance(item, bytes):
            return item
        return tensor_bytes(item.view(maps[item.host]), item.tensor, self._plan.machine, self._noise)

    async def _identify(self) -> None:
        for name, right in (("ID", ID), ("MACHINE", int.from_bytes(self._image[8:12], "little"))):
            found = await self._read(name)
            if found != right:
                raise EngineError(f"not the machine of the program: its register {name} is {found:#010x}, "
                                  f"not {right:#010x}")

    async def _command(self, name: str) -> None:
        """Give a command whose end, or fault, raises irq."""
        for register_name in ("INTERRUPT", "INTERRUPT_ENABLE"):
            await self._write(register_name, sum(field.mask for field in register(register_name).fields))
        await self._write("CONTROL", register("CONTROL").field(name).mask)

    async def _check(self) -> None:
        """Go on if the last command has ended well."""
        fault = await self._read("FAULT")
        code = FaultCode(register("FAULT").field("code").of(fault))
        if code is FaultCode.NONE:
            return
        await self.clear()
        index = register("FAULT").field("op").of(fault)
        ops = self._plan.program.ops
        known = code in (FaultCode.ILLEGAL, FaultCode.ADDRESS) and index < len(ops)
        raise MachineFault(code, ops[index].name if known else None)

    async def _counter(self, name: str) -> int:
        low = await self._port.read(counter_offset(name))
        return low | await self._port.read(counter_offset(name) + 4) << 32

    async def _read(self, name: str) -> int:
        return await self._port.read(register(name).offset)

    async def _write(self, name: str, value: int) -> None:
        await self._port.write(register(name).offset, value)


def _segments(plan: Plan) -> Sequence[_Segment]:
    """Yield the inward items in stream order; a Load of rows that later Stores write begins a new segment."""
    segments = [_Segment(0)]
    for item in plan.inward():
        match item:
            case RowTileItem() | TableItem():
                segments[-1].items.append(word_bytes(item.words, plan.machine))
            case TensorItem():
                if item.written > segments[-1].written:
                    segments.append(_Segment(item.written))
                segments[-1].items.append(item)
    return [segment for segment in segments if segment.items]
