"""When everything happens: the cycle recurrence of a planned Program, exact to the cycle.

The pipeline is rigid; only its head waits, for a free accumulator bank or for weights. Cycle 0 is the first busy
cycle after the start command.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from sim.plan import Plan
from sim.schedule import ConvSchedule, PoolSchedule

__all__ = ["Timeline", "closed_form_cycles", "layer_cycles", "timeline"]


@dataclass(frozen=True)
class Timeline:
    """Cycles of a whole Program.

    Attributes
    ----------
    starts, ends : tuple of int
        First cycle of each record and the first cycle after it.
    pairs : int
        Cycles in which plane pairs run.
    wait_accumulator, wait_weights : int
        Cycles the head waits for an accumulator bank, and beyond that for weights.
    """

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    pairs: int
    wait_accumulator: int
    wait_weights: int

    @property
    def total(self) -> int:
        """latency_cycles of the Program."""
        return self.ends[-1] if self.ends else 0

    @property
    def other(self) -> int:
        """Fill, drain and the slack of steps whose reads take longer than their pairs."""
        return self.total - self.pairs - self.wait_accumulator - self.wait_weights


def timeline(plan: Plan) -> Timeline:
    """Run the recurrence over a planned Program."""
    return _recurrence(plan.schedules)


def layer_cycles(schedule: ConvSchedule | PoolSchedule) -> int:
    """Cycles of one layer on its own, its weights streamed from its start.

    Inside a Program a layer never takes longer: there its weights may already be on their way, and every term of
    the recurrence is monotone in the times it starts from. So a sum of these bounds any network.
    """
    return _recurrence([schedule]).total


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


def _recurrence(schedules: Iterable[ConvSchedule | PoolSchedule]) -> Timeline:
    head = _Head()
    starts: list[int] = []
    ends: list[int] = []
    for schedule in schedules:
        starts.append(head.cycle)
        match schedule:
            case ConvSchedule():
                head.run_conv(schedule)
            case PoolSchedule():
                head.cycle += schedule.cycles
            case _:
                assert_never(schedule)
        ends.append(head.cycle)
    return Timeline(tuple(starts), tuple(ends), head.pairs, head.wait_accumulator, head.wait_weights)


@dataclass
class _Head:
    """The head of the pipeline between records, and what it has counted.

    Attributes
    ----------
    cycle : int
        First cycle of the next record.
    filled : int
        When the weights of the last row tile were in; they run ahead across records.
    released : (int, int)
        When the slots of the row tile before last and of the last one became free.
    """

    cycle: int = 0
    filled: int = 0
    released: tuple[int, int] = (0, 0)
    pairs: int = 0
    wait_accumulator: int = 0
    wait_weights: int = 0

    def run_conv(self, schedule: ConvSchedule) -> None:
        """Advance over a Conv, tile by tile."""
        start, step, blocks = self.cycle, schedule.step_cycles, schedule.blocks
        issued = requantized = start
        bank_free = (start, start)
        residual_ready = start + schedule.shape.bits_residual + 2
        for _ in range(schedule.row_tiles):
            self.filled = max(self.filled, self.released[0]) + schedule.fill_cycles
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
        self.cycle = requantized + schedule.write_back
