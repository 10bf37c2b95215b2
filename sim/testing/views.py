"""What each record of a planned Program makes the machine do, in the words of the coverage bins."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from sim.clock import Clock
from sim.plan import Plan
from sim.records import Conv, Record, Tensor
from sim.schedule import ConvSchedule, PoolSchedule
from sim.transfers import Schedule
from sim.waits import Waits

__all__ = ["View", "views"]


@dataclass(frozen=True, eq=False)
class View:
    """A record in its Program.

    Attributes
    ----------
    plan : Plan
    index : int
        Of the record.
    spans : tuple of (int, int)
        First cycle of every record of the Program, and first cycle after it.
    wait_accumulator, wait_weights, starved, blocked : int
        Cycles that the record adds to these counters.
    """

    plan: Plan
    index: int
    spans: tuple[tuple[int, int], ...]
    wait_accumulator: int
    wait_weights: int
    starved: int
    blocked: int

    @property
    def record(self) -> Record:
        """The record."""
        return self.plan.program.records[self.index]

    @property
    def schedule(self) -> Schedule:
        """How it runs."""
        return self.plan.schedules[self.index]

    @property
    def waits(self) -> Waits:
        """What it waits for."""
        return self.plan.waits[self.index]

    @property
    def span(self) -> tuple[int, int]:
        """First cycle of the record, and first cycle after it."""
        return self.spans[self.index]

    @property
    def beside(self) -> list[Record]:
        """Records that run in some of the same cycles."""
        start, end = self.span
        return [record for record, (other_start, other_end) in zip(self.plan.program.records, self.spans, strict=True)
                if record is not self.record and other_start < end and start < other_end]

    @cached_property
    def source(self) -> Tensor:
        """Its input."""
        return self.plan.program.tensor(self.record.input)

    @cached_property
    def target(self) -> Tensor:
        """Its output."""
        return self.plan.program.tensor(self.record.output)

    @property
    def kind(self) -> str:
        """dense, depthwise, average, add, copy, max, Load or Store."""
        record = self.record
        if isinstance(self.schedule, PoolSchedule):
            return "max"
        if not isinstance(record, Conv):
            return type(record).__name__
        if record.weight_format.kind != "unit":
            return "depthwise" if record.depthwise else "dense"
        if record.kernel != (1, 1):
            return "average"
        return "add" if record.residual else "copy"

    @property
    def conv(self) -> tuple[Conv, ConvSchedule] | None:
        """The record and its schedule, if it is a Conv."""
        record, schedule = self.record, self.schedule
        return (record, schedule) if isinstance(record, Conv) and isinstance(schedule, ConvSchedule) else None


def views(plan: Plan) -> list[View]:
    """A view of every record."""
    memory = plan.machine.memory
    clock = Clock(memory.finish, memory.latency_cycles)
    spans, counted = [], [_counted(clock)]
    for schedule, waits in zip(plan.schedules, plan.waits, strict=True):
        spans.append(clock.run(schedule, waits))
        counted.append(_counted(clock))
    return [View(plan, index, tuple(spans), *(b - a for a, b in zip(before, after, strict=True)))
            for index, (before, after) in enumerate(pairwise(counted))]


def _counted(clock: Clock) -> tuple[int, int, int, int]:
    return clock.wait_accumulator, clock.wait_weights, clock.starved, clock.blocked
