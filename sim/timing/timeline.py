"""When everything happens: the cycles of a planned Program, exact to the cycle, and bounds for its layers alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.arch.host_memory import IDEAL, Memory
from sim.ir.ops import Load
from sim.mapping.schedule import ConvSchedule, PoolSchedule
from sim.mapping.transfers import Schedule, TransferSchedule
from sim.plan.plan import Plan
from sim.timing.dependencies import Waits
from sim.timing.recurrence import STORE_LATENCY, Clock

__all__ = ["STORE_LATENCY", "Timeline", "closed_form_cycles", "layer_cycles", "timeline", "transfer_cycles"]


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
    clock = Clock(lambda start, beats: start + memory.longest(beats), 0)
    clock.run(schedule, Waits())
    return clock.computed


def transfer_cycles(schedule: TransferSchedule, memory: Memory = IDEAL) -> int:
    """Most cycles of a Load or Store on its own, from the moment that the rows a Load reads are written."""
    longest = memory.longest(schedule.beats)
    return longest + (memory.latency_cycles if isinstance(schedule.op, Load) else STORE_LATENCY)


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
    if fill + longest * schedule.groups * requant <= shortest * compute:
        work = schedule.row_tiles * schedule.pixels * compute + fill
        work += schedule.chunks[-1] * schedule.last_groups * requant
    elif fill + longest * compute <= shortest * schedule.last_groups * requant:
        work = schedule.chunks[0] * compute + fill + schedule.channel_groups * schedule.pixels * requant
    else:
        return None
    return work + schedule.write_back


def _recurrence(schedules: Sequence[Schedule], waits: Sequence[Waits], memory: Memory = IDEAL) -> Timeline:
    clock = Clock(memory.finish, memory.latency_cycles)
    spans = [clock.run(schedule, wait) for schedule, wait in zip(schedules, waits, strict=True)]
    shares = _shares(schedules, spans)
    return Timeline(
        starts=tuple(start for start, _ in spans), ends=tuple(end for _, end in spans), pairs=clock.pairs,
        wait_accumulator=clock.wait_accumulator, wait_weights=clock.wait_weights,
        wait_transfers=sum(share for share, schedule in zip(shares, schedules, strict=True)
                           if isinstance(schedule, TransferSchedule)),
        shares=shares, starved=clock.starved, blocked=clock.blocked)


def _shares(schedules: Sequence[Schedule], spans: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Cycles of each Conv and Pool, and for the first transfer that ends where it ends, the gap before it."""
    gaps, before = {}, 0
    for schedule, (start, end) in zip(schedules, spans, strict=True):
        if not isinstance(schedule, TransferSchedule):
            gaps[start], before = start - before, end
    last = max((end for _, end in spans), default=0)
    gaps[last] = last - before
    return tuple(gaps.pop(end, 0) if isinstance(schedule, TransferSchedule) else end - start
                 for schedule, (start, end) in zip(schedules, spans, strict=True))
