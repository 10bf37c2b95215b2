"""How a Pool runs on a machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, gcd

from sim.arch.limits import HardwareLimits
from sim.arch.machine import Machine
from sim.ir.ops import Pool, Queue, Tensor
from sim.mapping.activation_layout import blocks_of
from sim.mapping.schedule import Schedule
from sim.mapping.sizes import footprint_sizes
from sim.mapping.taps_inside import taps_inside
from sim.timing.dependencies import Waits
from sim.timing.recurrence import PipelineState, Span

__all__ = ["PoolSchedule", "schedule_pool"]

POOL_DRAIN = 4
"""Stages between the last operand read of a Pool and its end [cycles]."""


@dataclass(frozen=True)
class PoolSchedule(Schedule):
    """A Pool on a machine; attributes as in `sim.mapping.conv_schedule.ConvSchedule`."""

    op: Pool
    source: Tensor
    target: Tensor
    phases: int
    blocks: int
    pixels: int

    @property
    def queue(self) -> Queue:
        """The queue that runs it."""
        return Queue.COMPUTE

    @property
    def kind(self) -> str:
        """What a report calls it."""
        return self.op.kind

    @property
    def operand_bits(self) -> tuple[int, int]:
        """Widths of its weights, which it has not, and of the activations that it reads [bits]."""
        return 0, self.bits

    @property
    def bits(self) -> int:
        """Planes of a code that it reads and writes."""
        return self.target.format.bits

    @property
    def step_cycles(self) -> int:
        """Cycles in which a step reads all taps of a pixel and block."""
        return self.op.kernel[0] * self.op.kernel[1] * self.bits * self.phases

    @property
    def cycles(self) -> int:
        """Cycles from its start to its end."""
        return self.pixels * self.blocks * self.step_cycles + POOL_DRAIN

    def run(self, state: PipelineState, waits: Waits) -> Span:
        """Advance `state` over the Pool."""
        return state.compute(self.cycles, waits)

    def sizes(self, machine: Machine, limits: HardwareLimits) -> Iterator[tuple[str, int, int]]:
        """Yield (what, how many, at most) for everything that the hardware limits on any machine."""
        size, taps = (self.source.height, self.source.width), self.op.kernel[0] * self.op.kernel[1]
        yield from footprint_sizes(size, self.op.pads, self.op.stride, taps, machine, limits)
        yield "pixels per column", self.pixels, 1 << limits.pixel_bits
        yield "cycles per step", self.step_cycles, 1 << limits.step_bits
        yield "channel blocks", self.blocks, 1 << limits.block_bits

    def events(self, machine: Machine) -> dict[str, int]:
        """Count the events of the Pool: it reads every tap inside the map and writes every output plane."""
        pool, source, target = self.op, self.source, self.target
        rows = taps_inside(source.height, target.height, pool.kernel[0], pool.stride[0], 1, pool.pads[0])
        columns = taps_inside(source.width, target.width, pool.kernel[1], pool.stride[1], 1, pool.pads[1])
        return {"act_reads": rows * columns * self.blocks * self.bits,
                "act_writes": target.height * target.width * self.blocks * self.bits}


def schedule_pool(pool: Pool, source: Tensor, target: Tensor, machine: Machine) -> PoolSchedule:
    """Derive the loops of a Pool."""
    return PoolSchedule(
        op=pool, source=source, target=target, phases=gcd(pool.stride[0], machine.columns),
        blocks=blocks_of(target.parts, machine.lanes), pixels=ceil(target.height / machine.columns) * target.width)
