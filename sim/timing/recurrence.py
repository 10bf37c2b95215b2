"""The cycle recurrence: three queues that run side by side, each in order, advanced from op to op.

The queues are Convs and Pools, the inward stream (row tiles and Loads), and the outward stream (Stores). Inside a Conv
the pipeline is rigid; only its head waits, for a free accumulator bank or for weights. Cycle 0 is the first busy cycle
after the start command.

Times advance by maxima, sums and the memory alone, and the memory does the same again after its period. So what begins
later by whole periods, with all else as much later, ends as much later. That saves work three times: for equal chunks
that follow each other, for row tiles after which everything stands as it stood before, and for Convs that begin as one
like them did.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from sim.ir.ops import Queue
from sim.timing.dependencies import Waits

__all__ = ["NOTICE", "STORE_LATENCY", "Chunks", "ConvTiming", "KnownRuns", "PipelineState", "Port", "Span"]

STORE_LATENCY = 2
"""Cycles from the start of a Store until it offers its first beat."""

NOTICE = 1
"""Cycles until Convs and Pools notice that a transfer has ended, weights are in, or an accumulator bank is free."""

Span = tuple[int, int]
"""First cycle of an op, and the first cycle after it."""


@dataclass(frozen=True)
class ConvTiming:
    """What the recurrence needs to know of a Conv; numbers, or arrays that broadcast (`sim.timing.batched`).

    Attributes
    ----------
    row_tiles, pixels, chunk_pixels : int
        Row tiles, pixels of a column in each, and pixels of every chunk of them but the last.
    pixel_cycles : int
        Cycles in which the steps of a pixel are issued.
    latency : int
        Cycles from the end of a tile's last step until the requantizer may start on the tile.
    requant_cycles, last_requant_cycles : int
        Cycles of the requantizer for a pixel, and for one of the last row tile.
    fill_cycles : int
        Beats of a row tile in the inward stream.
    residual_cycles : int
        Cycles from the start of the Conv until the requantizer has the first residual.
    write_back : int
        Cycles from the requantizer's last until the last plane is written.
    busy_cycles : int
        Cycles of a pixel in which plane pairs run or lanes add.
    table_cycles : int
        Beats of its table in the inward stream, 0 without one.
    """

    row_tiles: int
    pixels: int
    chunk_pixels: int
    pixel_cycles: int
    latency: int
    requant_cycles: int
    last_requant_cycles: int
    fill_cycles: int
    residual_cycles: int
    write_back: int
    busy_cycles: int
    table_cycles: int = 0


@dataclass(frozen=True)
class Chunks:
    """Chunks of a row tile that follow each other at equal distances.

    Attributes
    ----------
    pixels : int
        Of each.
    issued, requantized : int
        Cycles in which the first step of the first one is issued, and in which the requantizer begins with it.
    count, distance : int
        How many there are, and cycles from one to the next.
    """

    pixels: int
    issued: int
    requantized: int
    count: int
    distance: int


class _Head(NamedTuple):
    """Where the pipeline of a Conv stands between chunks.

    Attributes
    ----------
    issued, requantized : int
        When the last step was issued, and when the requantizer is done.
    bank_free, next_bank_free : int
        When the head notices that the accumulator bank of the chunk before last and of the last one are free.
    """

    issued: int
    requantized: int
    bank_free: int
    next_bank_free: int


class Port(Protocol):
    """The memory behind the streams, as `sim.arch.host_memory.Memory` describes it."""

    @property
    def latency_cycles(self) -> int:
        """Cycles from the end of a Store until its rows can be read, and before the first beat of all."""

    @property
    def period_cycles(self) -> int:
        """Cycles after which the memory does the same again."""

    def finish(self, start: int, beats: int) -> int:
        """Return the first cycle after the last of so many beats that wait to pass from `start` on."""


class _Run(NamedTuple):
    """What a Conv changes in a state: times as seen from its start, and counts that it adds."""

    requantized: int
    filled: int
    slots: tuple[int, int]
    counts: tuple[int, int, int]


KnownRuns = dict[tuple[ConvTiming, int, int, int, int], _Run]
"""Runs of Convs on one memory, by all that they depend on."""


@dataclass
class PipelineState:
    """Where the three queues stand between ops, and what they have counted.

    Attributes
    ----------
    memory : Port
        Behind the streams.
    known : KnownRuns
        What Convs did before from such states; states of one memory may share it.
    free_at : list of int
        First free cycle of Convs and Pools, of the inward stream, which runs ahead across ops, and of the outward
        one, by `Queue`.
    slots_free_at : (int, int)
        When the weight slots of the row tile before last and of the last one became free.
    ends : three lists of int
        Ends of the ops of each queue, by `Queue`.
    watch : function of Chunks, or None
        Told of the chunks of every Conv, in order.
    """

    memory: Port
    known: KnownRuns = field(default_factory=dict, compare=False)
    free_at: list[int] = field(default_factory=lambda: [0, 0, 0])
    slots_free_at: tuple[int, int] = (0, 0)
    ends: tuple[list[int], list[int], list[int]] = field(default_factory=lambda: ([], [], []))
    pairs: int = 0
    wait_accumulator: int = 0
    wait_weights: int = 0
    starved: int = 0
    blocked: int = 0
    watch: Callable[[Chunks], None] | None = None

    def ready(self, waits: Waits) -> int:
        """Return when all that an op waits for has ended."""
        counts = waits.computes, waits.loads, waits.stores
        return max((ends[count - 1] for ends, count in zip(self.ends, counts, strict=True) if count), default=0)

    def begin(self, waits: Waits) -> int:
        """Return when the next Conv or Pool begins, which notices the ends of transfers late."""
        ready = self.ready(waits)
        return max(self.free_at[Queue.COMPUTE], ready + NOTICE if ready else 0)

    def compute(self, cycles: int, waits: Waits) -> Span:
        """Advance over a layer that takes a fixed number of cycles."""
        start = self.begin(waits)
        return self._computed(start, start + cycles)

    def conv(self, timing: ConvTiming, waits: Waits) -> Span:
        """Advance over a Conv."""
        start = self.begin(waits)
        if timing.table_cycles:
            free = self.ends[Queue.COMPUTE][waits.table - 1] if waits.table else 0
            wanted = max(self.free_at[Queue.LOAD], free)
            self._fill(wanted, wanted, timing.table_cycles)
        self.pairs += timing.row_tiles * timing.pixels * timing.busy_cycles
        if self.watch or self.free_at[Queue.LOAD] < self.memory.latency_cycles:
            return self._computed(start, self._row_tiles(timing, start) + timing.write_back)
        key = (timing, self.free_at[Queue.LOAD] - start, self.slots_free_at[0] - start, self.slots_free_at[1] - start,
               start % self.memory.period_cycles)
        run = self.known.get(key)
        if run is None:
            run = self.known[key] = self._new_run(timing, start)
        else:
            self.free_at[Queue.LOAD] = start + run.filled
            self.slots_free_at = start + run.slots[0], start + run.slots[1]
            self._count(*run.counts)
        return self._computed(start, start + run.requantized + timing.write_back)

    def load(self, beats: int, waits: Waits) -> Span:
        """Advance over a Load of so many beats."""
        start = max(self.free_at[Queue.LOAD], self.ready(waits))
        there = self.ends[Queue.STORE][waits.written - 1] + self.memory.latency_cycles if waits.written else start
        self._fill(start, max(start, there), beats)
        self.ends[Queue.LOAD].append(self.free_at[Queue.LOAD])
        return start, self.free_at[Queue.LOAD]

    def store(self, beats: int, waits: Waits) -> Span:
        """Advance over a Store of so many beats."""
        start = max(self.free_at[Queue.STORE], self.ready(waits))
        offered = start + STORE_LATENCY
        self.free_at[Queue.STORE] = self.memory.finish(offered, beats)
        self.blocked += self.free_at[Queue.STORE] - offered - beats
        self.ends[Queue.STORE].append(self.free_at[Queue.STORE])
        return start, self.free_at[Queue.STORE]

    def _computed(self, start: int, end: int) -> Span:
        self.free_at[Queue.COMPUTE] = end
        self.ends[Queue.COMPUTE].append(end)
        return start, end

    def _fill(self, start: int, there: int, beats: int) -> None:
        """Take the beats of an inward item that is wanted from `start` and can be had from `there` on."""
        self.free_at[Queue.LOAD] = self.memory.finish(there, beats)
        self.starved += self.free_at[Queue.LOAD] - start - beats

    @property
    def _counts(self) -> tuple[int, int, int]:
        return self.wait_accumulator, self.wait_weights, self.starved

    def _count(self, wait_accumulator: int, wait_weights: int, starved: int) -> None:
        self.wait_accumulator += wait_accumulator
        self.wait_weights += wait_weights
        self.starved += starved

    def _new_run(self, timing: ConvTiming, start: int) -> _Run:
        """Advance over the row tiles of a Conv, and return what that changed."""
        before = self._counts
        requantized, (slot, next_slot) = self._row_tiles(timing, start), self.slots_free_at
        waited, unfed, starved = (now - then for now, then in zip(self._counts, before, strict=True))
        return _Run(requantized - start, self.free_at[Queue.LOAD] - start, (slot - start, next_slot - start),
                    (waited, unfed, starved))

    def _row_tiles(self, timing: ConvTiming, start: int) -> int:
        """Advance over the row tiles of a Conv, and return when the requantizer is done.

        Once everything stands as it stood after an earlier tile, only later by whole periods of the memory, the tiles
        in between repeat themselves, all but the last one, whose requantizing may take another time.
        """
        head, residual_ready = _Head(start, start, start, start), start + timing.residual_cycles
        tile, last, period = 0, timing.row_tiles - 1, self.memory.period_cycles
        seen: dict[tuple[int, ...], tuple[int, int, tuple[int, int, int]]] | None = None if self.watch else {}
        while tile < last:
            head = self._row_tile(timing, head, timing.requant_cycles, residual_ready)
            tile, issued = tile + 1, head.issued
            if seen is None:
                continue
            stand = (self.free_at[Queue.LOAD] - issued, self.slots_free_at[0] - issued, head.requantized - issued,
                     head.bank_free - issued, head.next_bank_free - issued, issued % period)
            if stand in seen:
                first, then, counts = seen[stand]
                times, tiles = divmod(last - tile, tile - first)
                head = self._repeat(head, times, issued - then, counts)
                tile, seen = last - tiles, None
            else:
                seen[stand] = tile, issued, self._counts
        return self._row_tile(timing, head, timing.last_requant_cycles, residual_ready).requantized

    def _repeat(self, head: _Head, times: int, distance: int, counts: tuple[int, int, int]) -> _Head:
        """Advance by so many times the distance, and by as many times what was counted since `counts`."""
        later = times * distance
        self.free_at[Queue.LOAD] += later
        self.slots_free_at = self.slots_free_at[0] + later, self.slots_free_at[1] + later
        waited, unfed, starved = (times * (now - then) for now, then in zip(self._counts, counts, strict=True))
        self._count(waited, unfed, starved)
        return _Head(*(time + later for time in head))

    def _row_tile(self, timing: ConvTiming, head: _Head, requant_cycles: int, residual_ready: int) -> _Head:
        """Fill a weight slot, and advance the head over the chunks of the row tile.

        A chunk moves all times by what their differences say. So where it leaves the differences as they were, each of
        the equal chunks that follow moves them as far, and they are taken together: a map of any size takes few steps.
        """
        wanted = max(self.free_at[Queue.LOAD], self.slots_free_at[0])
        self._fill(wanted, wanted, timing.fill_cycles)
        issued, requantized, bank_free, next_bank_free = head
        left, weights = timing.pixels, self.free_at[Queue.LOAD] + NOTICE
        self.wait_weights += max(0, weights - max(issued, bank_free))
        while left:
            pixels, before = min(timing.chunk_pixels, left), issued
            ready = max(issued, bank_free)
            first = max(ready, weights)
            issued = first + pixels * timing.pixel_cycles
            begun = max(issued + timing.latency, requantized, residual_ready)
            done = begun + pixels * requant_cycles
            left, distance = left - pixels, issued - before
            same = 0
            if weights <= before and done - requantized == next_bank_free - bank_free == distance == (
                    done + NOTICE - next_bank_free):
                same = left // pixels
            self.wait_accumulator += (ready - before) * (1 + same)
            if self.watch:
                self.watch(Chunks(pixels, first, begun, 1 + same, distance))
            later = same * distance
            issued, requantized = issued + later, done + later
            bank_free, next_bank_free = next_bank_free + later, requantized + NOTICE
            left -= same * pixels
        self.slots_free_at = self.slots_free_at[1], issued
        return _Head(issued, requantized, bank_free, next_bank_free)
