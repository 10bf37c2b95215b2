"""When everything happens: the cycles of ops that run one after another and side by side, exact to the cycle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Protocol

from sim.arch.host_memory import IDEAL, Memory
from sim.ir.ops import Queue
from sim.timing.dependencies import Waits
from sim.timing.recurrence import NOTICE, KnownRuns, PipelineState, Span

__all__ = ["Split", "Timed", "Timeline", "layer_cycles", "timeline"]


class Timed(Protocol):
    """What a timeline asks of the schedule of an op."""

    @property
    def queue(self) -> Queue:
        """The queue that runs it."""

    def run(self, state: PipelineState, waits: Waits) -> Span:
        """Advance `state` over the op, and return its start and end."""


@dataclass(frozen=True)
class Split:
    """What the cycles of one op are spent on; a Conv's other cycles fill and drain its pipeline.

    Attributes
    ----------
    pairs : int
        Plane pairs run, or depthwise lanes add.
    wait_accumulator, wait_weights : int
        The head waits for an accumulator bank, and beyond that for weights.
    """

    pairs: int
    wait_accumulator: int
    wait_weights: int


@dataclass(frozen=True)
class Timeline:
    """Cycles of a whole Program.

    Attributes
    ----------
    starts, ends : tuple of int
        First cycle of each op and the first cycle after it. A Load starts when the inward stream turns to it and
        what it waits for has ended.
    pairs : int
        Cycles in which plane pairs run.
    wait_accumulator, wait_weights : int
        Cycles the head waits for an accumulator bank, and beyond that for weights.
    wait_transfers : int
        Cycles in which no Conv or Pool runs, since it waits for Loads or Stores, or only Stores are left.
    shares : tuple of int
        Cycles that each op accounts for: its own for a Conv or Pool, and for a Load or Store those of
        `wait_transfers` that last until its end. They sum to the total.
    splits : tuple of Split
        Of each op; all 0 but for Convs.
    starved, blocked : int
        Cycles in which the inward stream is ready and no beat comes, and in which an outward beat is not taken.
    """

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    pairs: int
    wait_accumulator: int
    wait_weights: int
    wait_transfers: int
    shares: tuple[int, ...]
    splits: tuple[Split, ...]
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


def timeline(schedules: Sequence[Timed], waits: Sequence[Waits], memory: Memory = IDEAL,
             known: KnownRuns | None = None) -> Timeline:
    """Run the recurrence over ops in Program order, each with what it waits for.

    Parameters
    ----------
    schedules : sequence of Timed
    waits : sequence of Waits
    memory : Memory
    known : KnownRuns, optional
        What is known from other timelines on this memory, and takes up what this one adds.
    """
    state = PipelineState(memory, {} if known is None else known)
    spans, so_far = [], [(0, 0, 0)]
    for schedule, wait in zip(schedules, waits, strict=True):
        spans.append(schedule.run(state, wait))
        so_far.append((state.pairs, state.wait_accumulator, state.wait_weights))
    shares = _shares(schedules, spans)
    return Timeline(
        starts=tuple(start for start, _ in spans), ends=tuple(end for _, end in spans), pairs=state.pairs,
        wait_accumulator=state.wait_accumulator, wait_weights=state.wait_weights,
        wait_transfers=sum(share for share, schedule in zip(shares, schedules, strict=True)
                           if schedule.queue is not Queue.COMPUTE),
        shares=shares, splits=tuple(Split(*(after - before for before, after in zip(*moment, strict=True)))
                                    for moment in pairwise(so_far)),
        starved=state.starved, blocked=state.blocked)


def layer_cycles(schedule: Timed, memory: Memory = IDEAL) -> int:
    """Return the cycles of one op on its own, its weights streamed from its start at the worst moment for `memory`.

    Those of a Conv or Pool include the cycle until it notices that what it waits for has ended.
    """
    state = PipelineState(_AtWorst(memory))
    return schedule.run(state, Waits())[1] + (NOTICE if schedule.queue is Queue.COMPUTE else 0)


@dataclass(frozen=True)
class _AtWorst:
    """A memory that is always at its worst moment, and never late."""

    memory: Memory
    latency_cycles: ClassVar[int] = 0
    period_cycles: ClassVar[int] = 1

    def finish(self, start: int, beats: int) -> int:
        """Return the first cycle after beats that begin to wait at the worst moment."""
        return start + self.memory.longest(beats)


def _shares(schedules: Sequence[Timed], spans: Sequence[Span]) -> tuple[int, ...]:
    """Return the cycles of each Conv and Pool, and the gap before it for the first transfer whose end it notices."""
    gaps, before = {}, 0
    for schedule, (start, end) in zip(schedules, spans, strict=True):
        if schedule.queue is Queue.COMPUTE:
            gaps[start - NOTICE], before = start - before, end
    last = max((end for _, end in spans), default=0)
    gaps[last] = last - before
    return tuple(end - start if schedule.queue is Queue.COMPUTE else gaps.pop(end, 0)
                 for schedule, (start, end) in zip(schedules, spans, strict=True))
