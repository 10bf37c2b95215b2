"""Drivers and a monitor for valid/ready streams, whatever their signals are called and however lanes are packed.

Everything is read at rising edges of the clock, before they have an effect, and inputs change at the falling edges
after them, so that no simulator can mix up the order. The rules are those of AXI4-Stream: a word passes in a cycle in
which valid and ready are high; a source does not wait for ready, and keeps what it has offered until it passes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import Event, FallingEdge, RisingEdge
from numpy.typing import NDArray

from rtl.testbench.gaps import Gaps, no_gaps
from rtl.testbench.lanes import Lanes
from rtl.testbench.offers import keeps_offers

__all__ = ["Joined", "Monitor", "Stream", "StreamSink", "StreamSource"]

Codes = Sequence[int] | NDArray[np.integer]


class Joined:
    """Several signals as the data of one stream, the first in the lowest bits.

    Parameters
    ----------
    signals : handles
    """

    def __init__(self, *signals: Any) -> None:
        self.signals = signals

    def __len__(self) -> int:
        return sum(map(len, self.signals))

    @property
    def value(self) -> str:
        """The bits of all signals, the highest first."""
        return "".join(str(signal.value) for signal in reversed(self.signals))

    @value.setter
    def value(self, word: int) -> None:
        for signal in self.signals:
            bits = len(signal)
            signal.value = word & ((1 << bits) - 1)
            word >>= bits


@dataclass(frozen=True)
class Stream:
    """The signals of a stream.

    Attributes
    ----------
    clock, valid, ready, data : handles
    lanes : Lanes
        How codes lie in `data`.
    last : handle or None
        High with the last word of a packet.
    """

    clock: Any
    valid: Any
    ready: Any
    data: Any
    lanes: Lanes
    last: Any = None

    @classmethod
    def of(cls, dut: Any, clock: str, names: str, lanes: Lanes) -> Stream:
        """Find the signals by a pattern with one `*`, such as `s_axis_t*` or `in_*`, in place of valid, ready, data.

        `last` is taken where there is one. `clock` is the name of the clock.
        """
        def find(what: str) -> Any:
            return getattr(dut, names.replace("*", what))

        return cls(getattr(dut, clock), find("valid"), find("ready"), find("data"), lanes,
                   getattr(dut, names.replace("*", "last"), None))

    @property
    def passes(self) -> bool:
        """Whether a word passes at the rising edge at hand."""
        return bool(self.valid.value == 1 and self.ready.value == 1)


class StreamSource:
    """Offers words on a stream into the hardware.

    Parameters
    ----------
    stream : Stream
    gaps : iterator of bool
        Whether not to offer the next word yet, asked once in every cycle in which there is one and none is offered.
    """

    def __init__(self, stream: Stream, gaps: Gaps | None = None) -> None:
        self.stream, self.gaps = stream, no_gaps() if gaps is None else gaps
        self._queue: deque[tuple[int, bool]] = deque()
        self._queued, self._idle = Event(), Event()
        self._idle.set()
        stream.valid.value = 0
        cocotb.start_soon(self._drive())

    def send(self, codes: Codes, last: bool = True) -> None:
        """Queue the words of some codes; `last` marks the last of them as the end of a packet."""
        words = list(self.stream.lanes.words(codes))
        self.send_words(words, last)

    def send_words(self, words: Iterable[int], last: bool = True) -> None:
        """Queue words as they are."""
        queued = list(words)
        self._queue.extend((word, last and index == len(queued) - 1) for index, word in enumerate(queued))
        if queued:
            self._idle.clear()
            self._queued.set()

    async def sent(self) -> None:
        """Wait until everything that was queued has passed."""
        await self._idle.wait()

    async def _drive(self) -> None:
        stream, rises, falls = self.stream, RisingEdge(self.stream.clock), FallingEdge(self.stream.clock)
        while True:
            if not self._queue:
                stream.valid.value = 0
                self._idle.set()
                self._queued.clear()
                await self._queued.wait()
                await falls
            while next(self.gaps):
                stream.valid.value = 0
                await falls
            word, last = self._queue.popleft()
            stream.data.value = word
            if stream.last is not None:
                stream.last.value = int(last)
            stream.valid.value = 1
            await rises
            while stream.ready.value != 1:
                await rises
            await falls


@dataclass(eq=False)
class Monitor:
    """Collects what passes on a stream, without driving anything.

    Attributes
    ----------
    words : deque of (str, bool)
        Bits of every word that has passed and was not fetched, the highest first, and whether it was the last of a
        packet.
    """

    stream: Stream
    words: deque[tuple[str, bool]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._came = Event()
        cocotb.start_soon(self._watch())
        kept = [self.stream.data, *([self.stream.last] if self.stream.last is not None else [])]
        cocotb.start_soon(keeps_offers(self.stream.clock, self.stream.valid, self.stream.ready, kept))

    async def receive(self, words: int = 1) -> list[int]:
        """Wait for so many words, and return their codes; `UNDEFINED` where a bit is."""
        codes: list[int] = []
        for _ in range(words):
            codes += self.stream.lanes.unpack((await self._next())[0])
        return codes

    async def receive_packet(self) -> list[int]:
        """Wait for the words of a packet, up to the last one, and return their codes."""
        codes, last = list[int](), False
        while not last:
            word, last = await self._next()
            codes += self.stream.lanes.unpack(word)
        return codes

    async def _next(self) -> tuple[str, bool]:
        while not self.words:
            self._came.clear()
            await self._came.wait()
        return self.words.popleft()

    async def _watch(self) -> None:
        stream, edge = self.stream, RisingEdge(self.stream.clock)
        while True:
            await edge
            if stream.passes:
                ends = stream.last is not None and stream.last.value == 1
                self.words.append((str(stream.data.value), ends))
                self._came.set()


class StreamSink(Monitor):
    """Takes words from a stream out of the hardware.

    Parameters
    ----------
    stream : Stream
    gaps : iterator of bool
        Whether not to be ready, asked once in every cycle.
    """

    def __init__(self, stream: Stream, gaps: Gaps | None = None) -> None:
        super().__init__(stream)
        self.gaps = no_gaps() if gaps is None else gaps
        stream.ready.value = 0
        cocotb.start_soon(self._take())

    async def _take(self) -> None:
        falls = FallingEdge(self.stream.clock)
        while True:
            await falls
            self.stream.ready.value = int(not next(self.gaps))
