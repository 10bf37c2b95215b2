"""Loads that run ahead: a tensor comes in while the layer before its reader computes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from sim.arch.machine import Machine
from sim.ir.ops import Op, Queue, Tensor
from sim.ir.program import Program
from sim.mapping.schedule import Schedule
from sim.mapping.scheduler import Scheduler
from sim.plan.allocator import AllocationError, allocate
from sim.timing.dependencies import op_waits
from sim.timing.timeline import timeline

__all__ = ["prefetch_loads"]


def prefetch_loads(program: Program, loads: Collection[str], scheduler: Scheduler) -> Program:
    """Move some Loads before the Conv or Pool that stands before them, one after another in Program order.

    A Load moves by one layer, and only if all tensors still find a place and the Program then takes fewer cycles.

    Parameters
    ----------
    program : Program
        Fits on the machine of `scheduler`.
    loads : collection of str
        Names of the Loads that may move.
    scheduler : Scheduler
    """
    tensors = {tensor.name: tensor for tensor in program.tensors}
    machine = scheduler.machine
    schedules = {op.name: scheduler.schedule(program, op) for op in program.ops}
    ops = list(program.ops)
    best = _cycles(tensors, ops, schedules, machine)
    for name in loads:
        index = next(i for i, op in enumerate(ops) if op.name == name)
        before = _layer_before(ops, index)
        if before is None:
            continue
        trial = [*ops[:before], ops[index], *ops[before:index], *ops[index + 1 :]]
        try:
            cycles = _cycles(tensors, trial, schedules, machine)
        except AllocationError:
            continue
        if cycles < best:
            ops, best = trial, cycles
    return program if ops == list(program.ops) else replace(program, ops=tuple(ops))


def _layer_before(ops: Sequence[Op], index: int) -> int | None:
    """Return the index of the layer before a Load; None without one, or if a Store in between writes what it reads."""
    for before in range(index - 1, -1, -1):
        op = ops[before]
        if op.queue is Queue.COMPUTE:
            return before
        if op.queue is Queue.STORE and op.output == ops[index].input:
            return None
    return None


def _cycles(tensors: Mapping[str, Tensor], ops: Sequence[Op], schedules: Mapping[str, Schedule],
            machine: Machine) -> int:
    """Return the cycles that the ops take in this order."""
    waits = op_waits(tensors, ops, allocate(tensors, ops, machine))
    return timeline([schedules[op.name] for op in ops], waits, machine.memory).total
