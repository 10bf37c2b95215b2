"""`plan`: a Program on a machine - where every tensor lies and how every layer runs.

A Program that does not fit is refused here, with the field and both numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sim.arch.machine import Machine
from sim.ir.ops import Conv, Load, Queue, Store, Transfer
from sim.ir.program import Program
from sim.mapping.activation_layout import Bits
from sim.mapping.conv_schedule import ConvSchedule
from sim.mapping.schedule import Schedule
from sim.mapping.scheduler import Scheduler
from sim.mapping.table_words import table_bits
from sim.mapping.transfers import with_transfers
from sim.mapping.weight_layout import row_tile_words
from sim.plan.allocator import AllocationError
from sim.plan.banding import cut_into_bands
from sim.plan.host_stream import InwardItem, RowTileItem, TableItem, TensorItem, tensor_item
from sim.plan.legality import check_arithmetic, check_counts, check_limits, check_needs
from sim.plan.placement import Placement
from sim.plan.prefetch import prefetch_loads
from sim.timing.dependencies import Waits
from sim.timing.timeline import Timeline

__all__ = ["Plan", "plan"]


@dataclass(frozen=True, eq=False)
class Plan:
    """A Program placed on a machine.

    Attributes
    ----------
    program : Program
        With all its Loads and Stores.
    machine : Machine
    schedules : tuple of Schedule
        One for each op.
    bases : dict of str to int
        First word in its bank of every tensor that is on chip.
    waits : tuple of Waits
        What each op waits for.
    timeline : Timeline
        When every op starts and ends, and what each kind of waiting takes.
    """

    program: Program
    machine: Machine
    schedules: tuple[Schedule, ...]
    bases: dict[str, int]
    waits: tuple[Waits, ...]
    timeline: Timeline

    def convs(self) -> Iterator[tuple[Conv, ConvSchedule]]:
        """Yield the Conv ops with their schedules, in order."""
        for op, schedule in zip(self.program.ops, self.schedules, strict=True):
            if isinstance(op, Conv) and isinstance(schedule, ConvSchedule):
                yield op, schedule

    def stream(self) -> Iterator[Bits]:
        """Yield the words of the weight stream, an array (words, rows, lanes) for each row tile of the Program."""
        for conv, schedule in self.convs():
            for tile in range(schedule.row_tiles):
                yield row_tile_words(conv, schedule, tile, self.machine)

    def inward(self) -> Iterator[InwardItem]:
        """Yield what the host sends while the Program runs, in order: table and row tiles of every Conv, every Load."""
        for index, (op, schedule) in enumerate(zip(self.program.ops, self.schedules, strict=True)):
            if isinstance(op, Load):
                yield tensor_item(self.program, index, self.waits[index].written)
            elif isinstance(op, Conv) and isinstance(schedule, ConvSchedule):
                if op.table is not None:
                    yield TableItem(index, table_bits(op.table, self.machine))
                for tile in range(schedule.row_tiles):
                    yield RowTileItem(index, row_tile_words(op, schedule, tile, self.machine))

    def outward(self) -> Iterator[TensorItem]:
        """Yield what the host gets while the Program runs, in order: every Store."""
        for index, op in enumerate(self.program.ops):
            if isinstance(op, Store):
                yield tensor_item(self.program, index)


def plan(program: Program, machine: Machine) -> Plan:
    """Place `program` on `machine`.

    Loads of inputs and Stores of outputs that it lacks are added, and if its tensors do not fit on chip and it has no
    Loads and Stores of its own, it is cut into row bands (`sim.plan.banding`).

    Raises
    ------
    InputError
        If a bit width, digit count, window, rounding, accumulator, row tile or tensor set does not fit, there are no
        ops, or a size is beyond the hardware on any machine (`sim.arch.limits`).
    """
    check_counts(program.ops)
    check_arithmetic(program, machine)
    scheduler = Scheduler(machine)
    for op in program.ops:
        check_needs(op, scheduler.schedule(program, op), machine)
    complete, placed = _with_all_transfers(program, scheduler)
    check_limits(complete, placed.schedules, machine)
    bases = {name: places.start * machine.region_words for name, places in placed.regions.items()}
    return Plan(complete, machine, placed.schedules, bases, placed.waits, placed.timeline)


def _with_all_transfers(program: Program, scheduler: Scheduler) -> tuple[Program, Placement]:
    """Return `program` with every Load and Store it needs to fit on the machine; those that are added run ahead."""
    complete, own = with_transfers(program), {op.name for op in program.ops}
    try:
        placed = prefetch_loads(complete, [op.name for op in complete.ops
                                           if op.queue is Queue.LOAD and op.name not in own], scheduler)
    except AllocationError:
        if any(isinstance(op, Transfer) for op in program.ops):
            raise
        complete = cut_into_bands(program, scheduler.machine)
        placed = prefetch_loads(complete, [op.name for op in complete.ops if op.queue is Queue.LOAD], scheduler)
    return (complete if placed.ops == complete.ops else replace(complete, ops=placed.ops)), placed
