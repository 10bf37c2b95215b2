"""When everything happens: the cycle recurrence of a planned Program, exact to the cycle.

The pipeline is rigid; only its head waits, for a free accumulator bank or for weights. Cycle 0 is the first busy
cycle after the start command.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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
    starts: list[int] = []
    ends: list[int] = []
    pairs = wait_accumulator = wait_weights = 0
    start = filled = 0
    released = [0, 0]
    for schedule in schedules:
        starts.append(start)
        if isinstance(schedule, PoolSchedule):
            start += schedule.cycles
            ends.append(start)
            continue
        issued = start
        bank_free = [start, start]
        requantized = start
        step, blocks = schedule.step_cycles, schedule.blocks
        residual_ready = start + schedule.shape.bits_residual + 2
        for _ in range(schedule.row_tiles):
            filled = max(filled, released[0]) + schedule.fill_cycles
            for chunk, pixels in enumerate(schedule.chunks):
                ready = max(issued, bank_free[0])
                issue = ready if chunk else max(ready, filled)
                wait_accumulator += ready - issued
                wait_weights += issue - ready
                accumulated = issue + (pixels * blocks - 1) * step + schedule.latency
                requantized = max(accumulated, requantized, residual_ready) + pixels * schedule.requant_cycles
                bank_free = [bank_free[1], requantized]
                issued = issue + pixels * blocks * step
            released = [released[1], issued]
        pairs += schedule.row_tiles * schedule.pixels * blocks * schedule.pair_cycles
        start = requantized + schedule.write_back
        ends.append(start)
    return Timeline(tuple(starts), tuple(ends), pairs, wait_accumulator, wait_weights)
