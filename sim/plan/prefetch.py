"""Loads that run ahead: a tensor comes in while the layer before its reader computes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sim.ir.ops import Op, Queue
from sim.ir.program import Program
from sim.mapping.scheduler import Scheduler
from sim.plan.allocator import AllocationError
from sim.plan.placement import Placement, Placer

__all__ = ["prefetch_loads"]


def prefetch_loads(program: Program, loads: Collection[str], scheduler: Scheduler) -> Placement:
    """Place a Program, some Loads moved before the Conv or Pool that stands before them, one after another.

    A Load moves by one layer, and only if all tensors still find a place and the Program then takes fewer cycles.

    Parameters
    ----------
    program : Program
    loads : collection of str
        Names of the Loads that may move, in Program order.
    scheduler : Scheduler
        For the machine.

    Raises
    ------
    AllocationError
        If a tensor finds no place, with all Loads where they are.
    """
    schedules = {op.name: scheduler.schedule(program, op) for op in program.ops}
    machine = scheduler.machine
    placer = Placer({tensor.name: tensor for tensor in program.tensors}, schedules, machine)
    best = placer.place(program.ops)
    for name in loads:
        index = next(i for i, op in enumerate(best.ops) if op.name == name)
        before = _layer_before(best.ops, index)
        ops = best.ops
        if before is None or max(best.occupied[before:index]) + placer.sizes[ops[index].output] > machine.act_regions:
            continue
        try:
            trial = placer.place((*ops[:before], ops[index], *ops[before:index], *ops[index + 1 :]))
        except AllocationError:
            continue
        if trial.timeline.total < best.timeline.total:
            best = trial
    return best


def _layer_before(ops: Sequence[Op], index: int) -> int | None:
    """Return the index of the layer before a Load; None without one, or if a Store in between writes what it reads."""
    for before in range(index - 1, -1, -1):
        op = ops[before]
        if op.queue is Queue.COMPUTE:
            return before
        if op.queue is Queue.STORE and op.output == ops[index].input:
            return None
    return None
