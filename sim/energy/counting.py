"""Count the events of a planned Program, exactly as the RTL's counters do.

Rows without a channel and columns without a pixel are clock-gated and count for nothing.
"""

from __future__ import annotations

from sim.arch.machine import Machine
from sim.energy.events import EVENTS
from sim.mapping.schedule import Schedule
from sim.plan.plan import Plan

__all__ = ["count_events", "events_of", "total_events"]


def events_of(schedule: Schedule, machine: Machine) -> dict[str, int]:
    """Count every event of EVENTS while an op runs."""
    return dict.fromkeys(EVENTS, 0) | schedule.events(machine)


def count_events(plan: Plan) -> tuple[dict[str, int], ...]:
    """Count the events of each op of a planned Program."""
    return tuple(events_of(schedule, plan.machine) for schedule in plan.schedules)


def total_events(plan: Plan) -> dict[str, int]:
    """Count the events of a whole planned Program."""
    per_op = count_events(plan)
    return {name: sum(counts[name] for counts in per_op) for name in EVENTS}
