"""Say what each op of a planned Program made the machine do in a run, in the words of the coverage bins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from sim.arch.host_memory import Memory
from sim.ir.ops import Conv, Op, Queue
from sim.mapping.conv_schedule import ConvSchedule
from sim.mapping.schedule import Schedule
from sim.plan.plan import Plan
from sim.testing.coverage.layer_view import Codes, LayerView
from sim.timing.dependencies import Waits
from sim.timing.recurrence import PipelineState

__all__ = ["Codes", "OpView", "op_views"]

@dataclass(frozen=True, eq=False)
class OpView(LayerView):
    """An op in its Program on its machine.

    Attributes
    ----------
    plan : Plan
    spans : tuple of (int, int)
        First cycle of every op of the Program, and first cycle after it.
    held_by : frozenset of str
        What ended only when the op's own queue was free, so that the op waited for it: "computes", "loads",
        "stores" (on its place), "written" (the Stores of its rows).
    waited_for_slot : bool
        Whether its table waited for its slot when the inward stream was free.
    late, slotted : bool
        Whether the op would have ended at another time if the host's memory had no latency, or no slots.
    wait_accumulator, wait_weights, starved, blocked : int
        Cycles that the op adds to these counters.
    """

    plan: Plan
    spans: tuple[tuple[int, int], ...]
    held_by: frozenset[str]
    waited_for_slot: bool
    late: bool
    slotted: bool
    wait_accumulator: int
    wait_weights: int
    starved: int
    blocked: int

    @property
    def schedule(self) -> Schedule:
        """The schedule of the op."""
        return self.plan.schedules[self.index]

    @property
    def waits(self) -> Waits:
        """The ops that must have ended before this one starts."""
        return self.plan.waits[self.index]

    @property
    def span(self) -> tuple[int, int]:
        """First cycle of the op, and first cycle after it."""
        return self.spans[self.index]

    @property
    def beside(self) -> list[Op]:
        """Ops that run in some of the same cycles."""
        start, end = self.span
        return [op for op, (other_start, other_end) in zip(self.plan.program.ops, self.spans, strict=True)
                if op is not self.op and other_start < end and start < other_end]

    @property
    def conv(self) -> tuple[Conv, ConvSchedule] | None:
        """The op and its schedule, if it is a Conv."""
        op, schedule = self.op, self.schedule
        return (op, schedule) if isinstance(op, Conv) and isinstance(schedule, ConvSchedule) else None


def op_views(plan: Plan, codes: Mapping[str, Codes]) -> list[OpView]:
    """Return a view of every op, given the codes of every tensor in a run."""
    memory = plan.machine.memory
    state = PipelineState(memory)
    spans, counted, held, slots = [], [_counted(state)], [], []
    for schedule, waits in zip(plan.schedules, plan.waits, strict=True):
        held.append(_held_by(state, schedule, waits))
        slots.append(waits.table > 0 and state.ends[Queue.COMPUTE][waits.table - 1] > state.free_at[Queue.LOAD])
        spans.append(schedule.run(state, waits))
        counted.append(_counted(state))
    prompt = _ends(plan, memory.model_copy(update={"latency_cycles": 0}))
    steady = _ends(plan, memory.model_copy(update={"beats": 1, "period_cycles": 1}))
    return [OpView(plan.program, index, codes, plan, tuple(spans), held[index], slots[index], end != prompt[index],
                   end != steady[index], *(b - a for a, b in zip(before, after, strict=True)))
            for index, ((_, end), (before, after)) in enumerate(zip(spans, pairwise(counted), strict=True))]


def _held_by(state: PipelineState, schedule: Schedule, waits: Waits) -> frozenset[str]:
    """Return what the next op waits for after its own queue is free."""
    computes, loads, stores = state.ends
    ends = {"computes": computes[waits.computes - 1] if waits.computes else 0,
            "loads": loads[waits.loads - 1] if waits.loads else 0,
            "stores": stores[waits.stores - 1] if waits.stores > waits.written else 0,
            "written": stores[waits.written - 1] + state.memory.latency_cycles if waits.written else 0}
    return frozenset(what for what, end in ends.items() if end > state.free_at[schedule.queue])


def _ends(plan: Plan, memory: Memory) -> list[int]:
    """Return the ends of all ops with another memory at the streams."""
    state = PipelineState(memory)
    return [schedule.run(state, waits)[1] for schedule, waits in zip(plan.schedules, plan.waits, strict=True)]


def _counted(state: PipelineState) -> tuple[int, int, int, int]:
    return state.wait_accumulator, state.wait_weights, state.starved, state.blocked
