"""The cycle recurrence: three queues that run side by side, each in order, advanced from op to op.

The queues are Convs and Pools, the inward stream (row tiles and Loads), and the outward stream (Stores). Inside a Conv
the pipeline is rigid; only its head waits, for a free accumulator bank or for weights. Cycle 0 is the first busy cycle
after the start command.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sim.ir.ops import Queue
from sim.timing.dependencies import Waits

__all__ = ["NOTICE", "STORE_LATENCY", "Chunks", "ConvTiming", "PipelineState", "Span"]

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


@dataclass
class _Head:
    """Where the pipeline of a Conv stands between tiles.

    Attributes
    ----------
    issued, requantized : int
        When the last step was issued, and when the requantizer is done.
    bank_free : (int, int)
        When the head notices that the accumulator bank of the tile before last and of the last one are free.
    """

    issued: int
    requantized: int
    bank_free: tuple[int, int]

    @property
    def ready(self) -> int:
        """When the next tile can be issued, if weights are there."""
        return max(self.issued, self.bank_free[0])

    @property
    def shape(self) -> tuple[int, int, int]:
        """All times, seen from `issued`."""
        return self.requantized - self.issued, self.bank_free[0] - self.issued, self.bank_free[1] - self.issued

    def move(self, cycles: int) -> None:
        """Make everything later."""
        self.issued += cycles
        self.requantized += cycles
        self.bank_free = (self.bank_free[0] + cycles, self.bank_free[1] + cycles)


@dataclass
class PipelineState:
    """Where the three queues stand between ops, and what they have counted.

    Attributes
    ----------
    finish : function of (start, beats) to the first cycle after them
        The memory behind the streams.
    latency : int
        Cycles from the end of a Store until its rows can be read.
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

    finish: Callable[[int, int], int]
    latency: int
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
        """Advance over a Conv, tile by tile."""
        start = self.begin(waits)
        head, residual_ready = _Head(start, start, (start, start)), start + timing.residual_cycles
        if timing.table_cycles:
            free = self.ends[Queue.COMPUTE][waits.table - 1] if waits.table else 0
            wanted = max(self.free_at[Queue.LOAD], free)
            self._fill(wanted, wanted, timing.table_cycles)
        for tile in range(timing.row_tiles):
            wanted = max(self.free_at[Queue.LOAD], self.slots_free_at[0])
            self._fill(wanted, wanted, timing.fill_cycles)
            ready = head.ready
            self.wait_weights += max(ready, self.free_at[Queue.LOAD] + NOTICE) - ready
            last = tile == timing.row_tiles - 1
            self._row_tile(timing, head, timing.last_requant_cycles if last else timing.requant_cycles, residual_ready)
            self.slots_free_at = (self.slots_free_at[1], head.issued)
        self.pairs += timing.row_tiles * timing.pixels * timing.busy_cycles
        return self._computed(start, head.requantized + timing.write_back)

    def load(self, beats: int, waits: Waits) -> Span:
        """Advance over a Load of so many beats."""
        start = max(self.free_at[Queue.LOAD], self.ready(waits))
        there = self.ends[Queue.STORE][waits.written - 1] + self.latency if waits.written else start
        self._fill(start, max(start, there), beats)
        self.ends[Queue.LOAD].append(self.free_at[Queue.LOAD])
        return start, self.free_at[Queue.LOAD]

    def store(self, beats: int, waits: Waits) -> Span:
        """Advance over a Store of so many beats."""
        start = max(self.free_at[Queue.STORE], self.ready(waits))
        offered = start + STORE_LATENCY
        self.free_at[Queue.STORE] = self.finish(offered, beats)
        self.blocked += self.free_at[Queue.STORE] - offered - beats
        self.ends[Queue.STORE].append(self.free_at[Queue.STORE])
        return start, self.free_at[Queue.STORE]

    def _computed(self, start: int, end: int) -> Span:
        self.free_at[Queue.COMPUTE] = end
        self.ends[Queue.COMPUTE].append(end)
        return start, end

    def _fill(self, start: int, there: int, beats: int) -> None:
        """Take the beats of an inward item that is wanted from `start` and can be had from `there` on."""
        self.free_at[Queue.LOAD] = self.finish(there, beats)
        self.starved += self.free_at[Queue.LOAD] - start - beats

    def _row_tile(self, timing: ConvTiming, head: _Head, requant_cycles: int, residual_ready: int) -> None:
        """Advance the head over the chunks of a row tile.

        A chunk moves all times by what their differences say. So where it leaves the differences as they were, each of
        the equal chunks that follow moves them as far, and they are taken together: a map of any size takes few steps.
        """
        left, weights = timing.pixels, self.free_at[Queue.LOAD] + NOTICE
        while left:
            pixels = min(timing.chunk_pixels, left)
            before, shape = head.issued, head.shape
            ready = head.ready
            waited = ready - before
            issued = max(ready, weights)
            head.issued = issued + pixels * timing.pixel_cycles
            begun = max(head.issued + timing.latency, head.requantized, residual_ready)
            head.requantized = begun + pixels * requant_cycles
            head.bank_free = (head.bank_free[1], head.requantized + NOTICE)
            left -= pixels
            same = left // pixels if head.shape == shape and weights <= before else 0
            self.wait_accumulator += waited * (1 + same)
            if self.watch:
                self.watch(Chunks(pixels, issued, begun, 1 + same, head.issued - before))
            head.move(same * (head.issued - before))
            left -= same * pixels
