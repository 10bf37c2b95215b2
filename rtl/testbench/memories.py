"""Memories beside the hardware under test: single or several ports, any read latency, ports that are not always free.

What was never written is undefined, so that hardware which reads it shows it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge
from cocotb.types import LogicArray

from rtl.testbench.gaps import Gaps
from sim.errors import InputError

__all__ = ["MemoryModel", "Port"]


@dataclass(frozen=True, eq=False)
class Port:
    """The signals of a port: `read`, `write` or both; a port with both does in a cycle what its signals ask for.

    Attributes
    ----------
    address : handle
        Of a word.
    read, read_data : handles or None
        Enable and data of reads; without an enable the port reads in every cycle.
    write, write_data : handles or None
        Enable and data of writes.
    mask : handle or None
        A bit for each granule of a word, which writes replace where it is 1.
    ready : handle or None
        Driven: whether the port takes a request in this cycle.
    answered : handle or None
        Driven: whether `read_data` holds the answer to a request in this cycle.
    latency : int, at least 1
        Cycles from the edge that takes a read until its data are there: 1 for the cycle after it.
    gaps : iterator of bool or None
        Cycles in which the port takes no request, which `ready` tells.
    """

    address: Any
    read: Any = None
    read_data: Any = None
    write: Any = None
    write_data: Any = None
    mask: Any = None
    ready: Any = None
    answered: Any = None
    latency: int = 1
    gaps: Gaps | None = None

    def __post_init__(self) -> None:
        if self.latency < 1:
            raise InputError(f"latency of a port must be at least 1 cycle, not {self.latency}")
        if self.gaps is not None and self.ready is None:
            raise InputError("a port with gaps needs a signal ready, which tells them")
        if (self.write is None) != (self.write_data is None):
            raise InputError("a port that writes needs an enable and data")


class MemoryModel:
    """A memory that serves its ports at every rising edge: first all reads, then all writes.

    Parameters
    ----------
    clock : handle
    depth : int
        Number of words.
    ports : sequence of Port
    words : mapping of address to word, or sequence of words
        What is there at first; all else is undefined.

    Attributes
    ----------
    words : dict of int to LogicArray
        What is there.
    """

    def __init__(self, clock: Any, depth: int, ports: Sequence[Port],
                 words: Mapping[int, int] | Sequence[int] = ()) -> None:
        self.clock, self.depth, self.ports = clock, depth, ports
        self.bits = next(len(data) for port in ports for data in (port.read_data, port.write_data) if data is not None)
        given = words.items() if isinstance(words, Mapping) else enumerate(words)
        self.words = {address: LogicArray.from_unsigned(word, self.bits) for address, word in given}
        self._answers = [deque[LogicArray | None]([None] * (port.latency - 1)) for port in ports]
        self._taking = [True] * len(ports)
        for number, port in enumerate(ports):
            self._offer(number)
            if port.answered is not None:
                port.answered.value = 0
        cocotb.start_soon(self._serve())

    def word(self, address: int) -> LogicArray:
        """Return a word, undefined where nothing was written."""
        return self.words.get(address, LogicArray("X" * self.bits))

    def code(self, address: int) -> int:
        """Return a word as an unsigned number; ValueError if it has undefined bits."""
        return self.word(address).to_unsigned()

    async def _serve(self) -> None:
        rises, falls = RisingEdge(self.clock), FallingEdge(self.clock)
        while True:
            await rises
            numbered = [(number, port) for number, port in enumerate(self.ports) if self._taking[number]]
            read = {number: self._read(port) for number, port in numbered}
            written: set[int] = set()
            for _, port in numbered:
                if port.write is not None and port.write.value == 1:
                    address = self._address(port, "written")
                    assert address not in written, f"two ports write word {address} in one cycle"
                    written.add(address)
                    self.words[address] = self._merged(port, address)
            await falls
            for number in range(len(self.ports)):
                self._answer(number, read.get(number))
                self._offer(number)

    def _offer(self, number: int) -> None:
        """Decide whether a port takes a request in the next cycle, and show it."""
        port = self.ports[number]
        if port.ready is not None:
            self._taking[number] = port.gaps is None or not next(port.gaps)
            port.ready.value = int(self._taking[number])

    def _read(self, port: Port) -> LogicArray | None:
        if port.read_data is None or (port.read is not None and port.read.value != 1):
            return None
        if port.read is None and not port.address.value.is_resolvable:
            return LogicArray("X" * self.bits)
        return self.word(self._address(port, "read"))

    def _answer(self, number: int, word: LogicArray | None) -> None:
        port, waiting = self.ports[number], self._answers[number]
        waiting.append(word)
        due = waiting.popleft()
        if due is not None:
            port.read_data.value = due
        if port.answered is not None:
            port.answered.value = int(due is not None)

    def _address(self, port: Port, what: str) -> int:
        value = port.address.value
        assert value.is_resolvable, f"a word is {what} at the undefined address {value}"
        address = int(value)
        assert address < self.depth, f"word {address} is {what}, of a memory of {self.depth} words"
        return address

    def _merged(self, port: Port, address: int) -> LogicArray:
        """Return what a write leaves at an address."""
        new = str(port.write_data.value)
        if port.mask is None:
            return LogicArray(new)
        mask, old = str(port.mask.value), str(self.word(address))
        granule = self.bits // len(mask)
        chosen = {"1": new, "0": old}
        return LogicArray("".join(chosen.get(bit, "X" * self.bits)[i * granule : (i + 1) * granule]
                                  for i, bit in enumerate(mask)))
