"""From any op to its schedule."""

from __future__ import annotations

from typing import assert_never

from sim.arch.machine import Machine
from sim.ir.ops import Conv, Load, Op, Pool, Store
from sim.ir.program import Program
from sim.mapping.conv_schedule import ConvSchedule
from sim.mapping.conv_shape import ConvShape, Tensors, conv_shape
from sim.mapping.pool_schedule import schedule_pool
from sim.mapping.schedule import Schedule
from sim.mapping.schedule_conv import schedule_conv
from sim.mapping.transfer_schedule import schedule_transfer

__all__ = ["Scheduler"]


class Scheduler:
    """Schedules ops on one machine; Convs of the same shape share one schedule."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._convs: dict[ConvShape, ConvSchedule] = {}

    def schedule(self, tensors: Tensors, op: Op) -> Schedule:
        """Return how an op runs on these tensors, as those of a Program."""
        match op:
            case Conv():
                shape = conv_shape(tensors, op)
                if shape not in self._convs:
                    self._convs[shape] = schedule_conv(shape, self.machine)
                return self._convs[shape]
            case Pool():
                return schedule_pool(op, tensors.tensor(op.input), tensors.tensor(op.output), self.machine)
            case Load() | Store():
                return schedule_transfer(op, tensors.tensor(op.on_chip), self.machine)
            case _:
                assert_never(op)

    def schedules(self, program: Program) -> tuple[Schedule, ...]:
        """Return how all ops of `program` run, in order."""
        return tuple(self.schedule(program, op) for op in program.ops)
