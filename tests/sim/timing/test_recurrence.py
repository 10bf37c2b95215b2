"""A Conv takes as long as its recurrence says, tile by tile, and few steps for a map of any size."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from sim.arch.host_memory import Memory
from sim.arch.machine import load_machine
from sim.ir.ops import Queue
from sim.mapping.conv_schedule import ConvSchedule
from sim.mapping.conv_shape import conv_shape
from sim.mapping.schedule_conv import schedule_conv
from sim.testing import random_machine, random_program
from sim.testing.stimulus.machines import random_memory
from sim.timing.dependencies import Waits
from sim.timing.recurrence import NOTICE, Chunks, KnownRuns, PipelineState


def some_schedules(seed: int) -> list[ConvSchedule]:
    """Of a random Program, with requantizers, weights and chunks that are slow or fast."""
    rng = np.random.default_rng(seed)
    machine = random_machine(rng)
    program = random_program(rng, machine)
    return [replace(schedule_conv(conv_shape(program, conv), machine), pixels=int(rng.integers(1, 400)),
                    chunk_pixels=int(rng.integers(1, 9)), requant_cycles=int(rng.integers(1, 60)),
                    fill_cycles=int(rng.integers(0, 300)), row_tiles=int(rng.integers(1, 5)))
            for conv in program.convs]


def run_plainly(state: PipelineState, schedule: ConvSchedule) -> None:
    """Run the recurrence of the documentation, one chunk after another."""
    issued = requantized = start = state.free_at[Queue.COMPUTE]
    banks = [start, start]
    residual_ready = start + schedule.shape.bits_residual + 2
    if schedule.table_cycles:
        wanted = state.free_at[Queue.LOAD]
        state.free_at[Queue.LOAD] = state.memory.finish(wanted, schedule.table_cycles)
        state.starved += state.free_at[Queue.LOAD] - wanted - schedule.table_cycles
    for tile in range(schedule.row_tiles):
        groups = schedule.last_tile_channel_groups if tile == schedule.row_tiles - 1 else schedule.tile_channel_groups
        wanted = max(state.free_at[Queue.LOAD], state.slots_free_at[0])
        filled = state.free_at[Queue.LOAD] = state.memory.finish(wanted, schedule.fill_cycles)
        state.starved += filled - wanted - schedule.fill_cycles
        for chunk, pixels in enumerate(schedule.chunks):
            ready = max(issued, banks[0])
            issue = ready if chunk else max(ready, filled + NOTICE)
            state.wait_accumulator += ready - issued
            state.wait_weights += issue - ready
            accumulated = issue + (pixels * schedule.blocks - 1) * schedule.step_cycles + schedule.latency
            requantized = max(accumulated, requantized, residual_ready) + pixels * groups * schedule.requant_cycles
            banks = [banks[1], requantized + NOTICE]
            issued = issue + pixels * schedule.blocks * schedule.step_cycles
        state.slots_free_at = state.slots_free_at[1], issued
    state.pairs += schedule.row_tiles * schedule.pixels * schedule.blocks * schedule.busy_cycles
    state.free_at[Queue.COMPUTE] = requantized + schedule.write_back
    state.ends[Queue.COMPUTE].append(requantized + schedule.write_back)


@pytest.mark.parametrize("seed", range(120))
def test_what_is_taken_together_is_as_if_taken_one_by_one(seed: int) -> None:
    """Ends, waits and all else that is counted are those of the plain recurrence, from layer to layer.

    Many row tiles, a memory with pauses, and layers that come again reach every way in which work is saved.
    """
    rng, known = np.random.default_rng(seed), KnownRuns()
    memory, schedules = random_memory(rng), some_schedules(seed)
    schedules += [replace(schedule, row_tiles=int(rng.integers(5, 90))) for schedule in schedules]
    for _ in range(2):
        fast, plain = PipelineState(memory, known), PipelineState(memory)
        for schedule in (*schedules, *schedules):
            schedule.run(fast, Waits())
            run_plainly(plain, schedule)
            assert fast == plain


def test_a_large_map_takes_few_steps() -> None:
    """A million pixels in chunks of one take no more than a dozen steps for a row tile."""
    schedule = replace(some_schedules(2)[0], pixels=1 << 20, chunk_pixels=1, row_tiles=3)
    state, steps = PipelineState(load_machine("tiny").memory), list[Chunks]()
    state.watch = steps.append
    schedule.run(state, Waits())
    assert len(steps) <= 36


@pytest.mark.parametrize("memory", [Memory(), Memory(latency_cycles=9, beats=3, period_cycles=7)])
def test_many_row_tiles_and_layers_that_come_again_take_few_steps(memory: Memory) -> None:
    """Of 4000 row tiles only a few ask the memory, and of a layer that begins like the one before it, none does."""
    schedule, port = replace(some_schedules(2)[0], row_tiles=4000, table_cycles=0), Asked(memory)
    state = PipelineState(port)
    for _ in range(20):
        schedule.run(state, Waits())
    assert port.times <= 40 * memory.period_cycles
    once = port.times
    schedule.run(state, Waits())
    assert port.times == once


@dataclass
class Asked:
    """A memory that counts how often it is asked."""

    memory: Memory
    times: int = 0

    @property
    def latency_cycles(self) -> int:
        return self.memory.latency_cycles

    @property
    def period_cycles(self) -> int:
        return self.memory.period_cycles

    def finish(self, start: int, beats: int) -> int:
        self.times += 1
        return self.memory.finish(start, beats)
