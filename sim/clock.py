"""The cycle recurrence: three queues that run side by side, each in order, advanced from record to record.

The queues are Convs and Pools, the inward stream (row tiles and Loads), and the outward stream (Stores). Inside a Conv
the pipeline is rigid; only its head waits, for a free accumulator bank or for weights. Cycle 0 is the first busy cycle
after the start command.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

from sim.records import Load
from sim.schedule import ConvSchedule, PoolSchedule
from sim.transfers import Schedule, TransferSchedule
from sim.waits import Waits

__all__ = ["STORE_LATENCY", "Clock"]

STORE_LATENCY = 2
"""Cycles from the start of a Store until it offers its first beat."""


@dataclass
class Clock:
    """Where the three queues stand between records, and what they have counted.

    Attributes
    ----------
    finish : function of (start, beats) to the first cycle after them
        The memory behind the streams.
    latency : int
        Cycles from the end of a Store until its rows can be read.
    computed, filled, stored : int
        First free cycle of Convs and Pools, of the inward stream, which runs ahead across records, and of the outward
        one.
    released : (int, int)
        When the slots of the row tile before last and of the last one became free.
    computes, loads, stores : list of int
        Ends of the records of each queue.
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
        """Advance over a record; its start and end."""
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
            case TransferSchedule(record=Load()):
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
        step, blocks = schedule.step_cycles, schedule.blocks
        issued = requantized = start
        bank_free = (start, start)
        residual_ready = start + schedule.shape.bits_residual + 2
        for tile in range(schedule.row_tiles):
            groups = schedule.last_groups if tile == schedule.row_tiles - 1 else schedule.groups
            wanted = max(self.filled, self.released[0])
            self.fill(wanted, wanted, schedule.fill_cycles)
            for chunk, pixels in enumerate(schedule.chunks):
                ready = max(issued, bank_free[0])
                issue = ready if chunk else max(ready, self.filled)
                self.wait_accumulator += ready - issued
                self.wait_weights += issue - ready
                accumulated = issue + (pixels * blocks - 1) * step + schedule.latency
                requantized = max(accumulated, requantized, residual_ready)
                requantized += pixels * groups * schedule.requant_cycles
                bank_free = (bank_free[1], requantized)
                issued = issue + pixels * blocks * step
            self.released = (self.released[1], issued)
        self.pairs += schedule.row_tiles * schedule.pixels * blocks * schedule.busy_cycles
        return requantized + schedule.write_back
