"""The cycle recurrence: three queues that run side by side, each in order, advanced from op to op.

The queues are Convs and Pools, the inward stream (row tiles and Loads), and the outward stream (Stores). Inside a Conv
the pipeline is rigid; only its head waits, for a free accumulator bank or for weights. Cycle 0 is the first busy cycle
after the start command.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

from sim.ir.ops import Load
from sim.mapping.schedule import ConvSchedule, PoolSchedule
from sim.mapping.transfers import Schedule, TransferSchedule
from sim.timing.dependencies import Waits

__all__ = ["STORE_LATENCY", "Clock"]

STORE_LATENCY = 2
"""Cycles from the start of a Store until it offers its first beat."""


@dataclass
class _Head:
    """Where the pipeline of a Conv stands between tiles.

    Attributes
    ----------
    issued, requantized : int
        When the last step was issued, and when the requantizer is done.
    bank_free : (int, int)
        When the accumulator bank of the tile before last and of the last one become free.
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
class Clock:
    """Where the three queues stand between ops, and what they have counted.

    Attributes
    ----------
    finish : function of (start, beats) to the first cycle after them
        The memory behind the streams.
    latency : int
        Cycles from the end of a Store until its rows can be read.
    computed, filled, stored : int
        First free cycle of Convs and Pools, of the inward stream, which runs ahead across ops, and of the outward
        one.
    released : (int, int)
        When the slots of the row tile before last and of the last one became free.
    computes, loads, stores : list of int
        Ends of the ops of each queue.
    """

    finish: Callable[[int, int], int]
    latency: int
    computed: int = 0
    filled: int = 0
    stored: int = 0
    released: tuple[int, int] = (0, 0)
    computes: list[int] = field(default_factory=list)
    loads: list[int] = field(default_factory=list)
    stores: list[int] = field(default_factory=list)
    pairs: int = 0
    wait_accumulator: int = 0
    wait_weights: int = 0
    starved: int = 0
    blocked: int = 0

    def run(self, schedule: Schedule, waits: Waits) -> tuple[int, int]:
        """Advance over an op; its start and end."""
        ready = max((ends[count - 1] for ends, count in ((self.computes, waits.computes), (self.loads, waits.loads),
                                                         (self.stores, waits.stores)) if count), default=0)
        match schedule:
            case ConvSchedule():
                start = max(self.computed, ready)
                self.computed = self.conv(schedule, start)
                self.computes.append(self.computed)
                return start, self.computed
            case PoolSchedule():
                start = max(self.computed, ready)
                self.computed = start + schedule.cycles
                self.computes.append(self.computed)
                return start, self.computed
            case TransferSchedule(op=Load()):
                start = max(self.filled, ready)
                there = self.stores[waits.written - 1] + self.latency if waits.written else start
                self.fill(start, max(start, there), schedule.beats)
                self.loads.append(self.filled)
                return start, self.filled
            case TransferSchedule():
                start = max(self.stored, ready)
                offered = start + STORE_LATENCY
                self.stored = self.finish(offered, schedule.beats)
                self.blocked += self.stored - offered - schedule.beats
                self.stores.append(self.stored)
                return start, self.stored
            case _:
                assert_never(schedule)

    def fill(self, start: int, there: int, beats: int) -> None:
        """Take the beats of an inward item that is wanted from `start` and can be had from `there` on."""
        self.filled = self.finish(there, beats)
        self.starved += self.filled - start - beats

    def conv(self, schedule: ConvSchedule, start: int) -> int:
        """Advance over a Conv, tile by tile; its end."""
        head = _Head(start, start, (start, start))
        residual_ready = start + schedule.shape.bits_residual + 2
        for tile in range(schedule.row_tiles):
            groups = schedule.last_groups if tile == schedule.row_tiles - 1 else schedule.groups
            wanted = max(self.filled, self.released[0])
            self.fill(wanted, wanted, schedule.fill_cycles)
            ready = head.ready
            self.wait_weights += max(ready, self.filled) - ready
            self.row_tile(schedule, head, groups, residual_ready)
            self.released = (self.released[1], head.issued)
        self.pairs += schedule.row_tiles * schedule.pixels * schedule.blocks * schedule.busy_cycles
        return head.requantized + schedule.write_back

    def row_tile(self, schedule: ConvSchedule, head: _Head, groups: int, residual_ready: int) -> None:
        """Advance the head over the chunks of a row tile.

        A chunk moves all times by what their differences say. So where it leaves the differences as they were, each of
        the equal chunks that follow moves them as far, and they are taken together: a map of any size takes few steps.
        """
        left, weights = schedule.pixels, self.filled
        while left:
            pixels = min(schedule.chunk_pixels, left)
            before, shape = head.issued, head.shape
            ready = head.ready
            issue = max(ready, weights)
            waited = ready - before
            accumulated = issue + (pixels * schedule.blocks - 1) * schedule.step_cycles + schedule.latency
            head.requantized = (max(accumulated, head.requantized, residual_ready)
                                + pixels * groups * schedule.requant_cycles)
            head.bank_free = (head.bank_free[1], head.requantized)
            head.issued = issue + pixels * schedule.blocks * schedule.step_cycles
            left -= pixels
            same = left // pixels if head.shape == shape and weights <= before else 0
            self.wait_accumulator += waited * (1 + same)
            head.move(same * (head.issued - before))
            left -= same * pixels
