"""Ops in an order on a machine: where their tensors lie, what each op waits for, and when it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sim.arch.machine import Machine
from sim.ir.ops import Op, Tensor
from sim.mapping.schedule import Schedule
from sim.plan.allocator import allocate
from sim.timing.dependencies import Waits, op_waits
from sim.timing.recurrence import KnownRuns
from sim.timing.timeline import Timeline, timeline

__all__ = ["Placement", "Placer"]


@dataclass(frozen=True, eq=False)
class Placement:
    """Ops that have found a place.

    Attributes
    ----------
    ops : tuple of Op
        In the order in which they run.
    schedules : tuple of Schedule
        One for each op.
    regions : dict of str to range
        Of every tensor that is on chip.
    waits : tuple of Waits
        What each op waits for.
    timeline : Timeline
    """

    ops: tuple[Op, ...]
    schedules: tuple[Schedule, ...]
    regions: dict[str, range]
    waits: tuple[Waits, ...]
    timeline: Timeline


@dataclass(frozen=True, eq=False)
class Placer:
    """Places the same ops in one order and another.

    Attributes
    ----------
    tensors : mapping of str to Tensor
    schedules : mapping of str to Schedule
        Of every op by its name.
    machine : Machine
    known : KnownRuns
        What Convs did in orders that were placed before.
    """

    tensors: Mapping[str, Tensor]
    schedules: Mapping[str, Schedule]
    machine: Machine
    known: KnownRuns = field(default_factory=dict)

    def place(self, ops: Sequence[Op]) -> Placement:
        """Return the placement of ops in this order.

        Raises
        ------
        AllocationError
            If a tensor finds no place.
        """
        regions = allocate(self.tensors, ops, self.machine)
        waits, schedules = op_waits(self.tensors, ops, regions), tuple(self.schedules[op.name] for op in ops)
        return Placement(tuple(ops), schedules, regions, waits,
                         timeline(schedules, waits, self.machine.memory, self.known))
