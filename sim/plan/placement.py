"""Ops in an order on a machine: where their tensors lie, what each op waits for, and when it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sim.arch.machine import Machine
from sim.ir.ops import Op, Tensor
from sim.mapping.schedule import Schedule
from sim.plan.allocator import lifetimes, occupied_regions, place_tensors, regions_of
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
    occupied : list of int
        Regions that are taken while each op runs.
    """

    ops: tuple[Op, ...]
    schedules: tuple[Schedule, ...]
    regions: dict[str, range]
    waits: tuple[Waits, ...]
    timeline: Timeline
    occupied: list[int]


class Placer:
    """Places the same ops in one order and another.

    Parameters
    ----------
    tensors : mapping of str to Tensor
    schedules : mapping of str to Schedule
        Of every op by its name.
    machine : Machine

    Attributes
    ----------
    sizes : dict of str to int
        Of all tensors on chip [regions].
    """

    def __init__(self, tensors: Mapping[str, Tensor], schedules: Mapping[str, Schedule], machine: Machine) -> None:
        self._tensors, self._schedules, self._machine = tensors, schedules, machine
        self._known: KnownRuns = {}
        self.sizes = {name: regions_of(tensor, machine) for name, tensor in tensors.items()}

    def place(self, ops: Sequence[Op]) -> Placement:
        """Return the placement of ops in this order.

        Raises
        ------
        AllocationError
            If a tensor finds no place.
        """
        lives = lifetimes(ops)
        regions = place_tensors(lives, self.sizes, self._machine)
        waits, schedules = op_waits(self._tensors, ops, regions), tuple(self._schedules[op.name] for op in ops)
        return Placement(tuple(ops), schedules, regions, waits,
                         timeline(schedules, waits, self._machine.memory, self._known),
                         occupied_regions(lives, self.sizes, len(ops)))
