"""When everything happens: the cycle recurrence of a planned Program, exact to the cycle.

Three queues run side by side, each in order: Convs and Pools, the inward stream (row tiles and Loads), and the
outward stream (Stores). Inside a Conv the pipeline is rigid; only its head waits, for a free accumulator bank or for
weights. Cycle 0 is the first busy cycle after the start command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from sim.memory import IDEAL, Memory
from sim.plan import Plan, Schedule
from sim.records import Load
from sim.schedule import ConvSchedule, PoolSchedule
from sim.transfers import TransferSchedule
from sim.waits import Waits

__all__ = ["STORE_LATENCY", "Timeline", "closed_form_cycles", "layer_cycles", "timeline", "transfer_cycles"]

STORE_LATENCY = 2
"""Cycles from the start of a Store until it offers its first beat."""


@dataclass(frozen=True)
class Timeline:
    """Cycles of a whole Program.

    Attributes
    ----------
    starts, ends : tuple of int
        First cycle of each record and the first cycle after it. A Load starts when the inward stream turns to it and
        what it waits for has ended.
    pairs : int
        Cycles in which plane pairs run.
    wait_accumulator, wait_weights : int
        Cycles the head waits for an accumulator bank, and beyond that for weights.
    wait_transfers : int
        Cycles in which no Conv or Pool runs, since it waits for Loads or Stores, or only Stores are left.
    starved, blocked : int
        Cycles in which the inward stream is ready and no beat comes, and in which an outward beat is not taken.
    """

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    pairs: int
    wait_accumulator: int
    wait_weights: int
    wait_transfers: int
    starved: int
    blocked: int

    @property
    def total(self) -> int:
        """latency_cycles of the Program."""
        return max(self.ends, default=0)

    @property
    def other(self) -> int:
        """Fill, drain and the slack of steps whose reads take longer than their pairs."""
        return self.total - self.pairs - self.wait_accumulator - self.wait_weights - self.wait_transfers


def timeline(plan: Plan) -> Timeline:
    """Run the recurrence over a planned Program."""
    return _recurrence(plan.schedules, plan.waits, plan.machine.memory)


def layer_cycles(schedule: ConvSchedule | PoolSchedule, memory: Memory = IDEAL) -> int:
    """Cycles of one layer on its own, its weights streamed from its start at the worst moment for `memory`.

    Inside a Program a layer never takes longer: there its weights may already be on their way, and every term of
    the recurrence is monotone in the times it starts from. So a sum of these, of `transfer_cycles` and of the memory's
    latency bounds any network.
    """
    clock = _Clock(lambda start, beats: start + memory.longest(beats), 0)
    clock.run(schedule, Waits())
    return clock.computed


def transfer_cycles(schedule: TransferSchedule, memory: Memory = IDEAL) -> int:
    """Most cycles of a Load or Store on its own, from the moment that the rows a Load reads are written."""
    longest = memory.longest(schedule.beats)
    return longest + (memory.latency_cycles if isinstance(schedule.record, Load) else STORE_LATENCY)


def closed_form_cycles(schedule: ConvSchedule) -> int | None:
    """Cycles of one layer whose weights are always there in time, without iterating over tiles.

    Compute-bound when the requantizer finishes every chunk within the next one, requantizer-bound when it is never
    idle; None between the two, and when reading the first residual takes longer than filling the pipeline.
    """
    compute = schedule.blocks * schedule.step_cycles
    fill = schedule.latency - schedule.step_cycles
    longest, shortest = schedule.chunk_pixels, schedule.chunks[-1]
    requant = schedule.requant_cycles
    if schedule.shape.bits_residual and schedule.shape.bits_residual + 2 > schedule.latency:
        return None
    if fill + longest * requant <= shortest * compute:
        work = schedule.row_tiles * schedule.pixels * compute + fill + schedule.chunks[-1] * requant
    elif fill + longest * compute <= shortest * requant:
        work = schedule.chunks[0] * compute + fill + schedule.row_tiles * schedule.pixels * requant
    else:
        return None
    return work + schedule.write_back


def _recurrence(schedules: Sequence[Schedule], waits: Sequence[Waits], memory: Memory = IDEAL) -> Timeline:
    clock = _Clock(memory.finish, memory.latency_cycles)
    spans = [clock.run(schedule, wait) for schedule, wait in zip(schedules, waits, strict=True)]
    starts, ends = [start for start, _ in spans], [end for _, end in spans]
    computing = sum(end - start for schedule, (start, end) in zip(schedules, spans, strict=True)
                    if not isinstance(schedule, TransferSchedule))
    return Timeline(tuple(starts), tuple(ends), clock.pairs, clock.wait_accumulator, clock.wait_weights,
                    max(ends, default=0) - computing, clock.starved, clock.blocked)


@dataclass
class _Clock:
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
        for _ in range(schedule.row_tiles):
            wanted = max(self.filled, self.released[0])
            self.fill(wanted, wanted, schedule.fill_cycles)
            for chunk, pixels in enumerate(schedule.chunks):
                ready = max(issued, bank_free[0])
                issue = ready if chunk else max(ready, self.filled)
                self.wait_accumulator += ready - issued
                self.wait_weights += issue - ready
                accumulated = issue + (pixels * blocks - 1) * step + schedule.latency
                requantized = max(accumulated, requantized, residual_ready) + pixels * schedule.requant_cycles
                bank_free = (bank_free[1], requantized)
                issued = issue + pixels * blocks * step
            self.released = (self.released[1], issued)
        self.pairs += schedule.row_tiles * schedule.pixels * blocks * schedule.pair_cycles
        return requantized + schedule.write_back
