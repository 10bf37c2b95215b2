"""Loads that run ahead: a tensor comes in while the layer before its reader computes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from sim.arch.machine import Machine
from sim.ir.ops import Conv, Pool, Record, Store, Tensor
from sim.ir.program import Program
from sim.mapping.transfers import Schedule, schedule_record
from sim.plan.allocator import NoRoom, place
from sim.timing.dependencies import record_waits
from sim.timing.recurrence import Clock

__all__ = ["prefetched"]


def prefetched(program: Program, loads: Collection[str], machine: Machine) -> Program:
    """Move some Loads before the Conv or Pool that stands before them, one after another in Program order.

    A Load moves by one layer, and only if all tensors still find a place and the Program then takes fewer cycles.

    Parameters
    ----------
    program : Program
        Fits on `machine`.
    loads : collection of str
        Names of the Loads that may move.
    """
    tensors = {tensor.name: tensor for tensor in program.tensors}
    schedules = {record.name: schedule_record(program, record, machine) for record in program.records}
    records = list(program.records)
    best = _cycles(tensors, records, schedules, machine)
    for name in loads:
        index = next(i for i, record in enumerate(records) if record.name == name)
        before = _layer_before(records, index)
        if before is None:
            continue
        trial = [*records[:before], records[index], *records[before:index], *records[index + 1 :]]
        try:
            cycles = _cycles(tensors, trial, schedules, machine)
        except NoRoom:
            continue
        if cycles < best:
            records, best = trial, cycles
    return program if records == list(program.records) else replace(program, records=tuple(records))


def _layer_before(records: Sequence[Record], index: int) -> int | None:
    """Index of the Conv or Pool before a Load; None if there is none, or a Store in between writes what it reads."""
    for before in range(index - 1, -1, -1):
        record = records[before]
        if isinstance(record, Conv | Pool):
            return before
        if isinstance(record, Store) and record.output == records[index].input:
            return None
    return None


def _cycles(tensors: Mapping[str, Tensor], records: Sequence[Record], schedules: Mapping[str, Schedule],
            machine: Machine) -> int:
    """Cycles that the records take in this order."""
    clock = Clock(machine.memory.finish, machine.memory.latency_cycles)
    waits = record_waits(tensors, records, place(tensors, records, machine))
    return max((clock.run(schedules[record.name], wait)[1] for record, wait in zip(records, waits, strict=True)),
               default=0)
