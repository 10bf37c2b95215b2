"""A Conv takes as long as its recurrence says, tile by tile, and few steps for a map of any size."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest

from sim.arch.machine import load_machine
from sim.ir.ops import Queue
from sim.mapping.conv_schedule import ConvSchedule
from sim.mapping.conv_shape import conv_shape
from sim.mapping.schedule_conv import schedule_conv
from sim.testing import random_machine, random_program
from sim.timing.dependencies import Waits
from sim.timing.recurrence import NOTICE, PipelineState, _Head


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
        state.free_at[Queue.LOAD] = state.finish(wanted, schedule.table_cycles)
        state.starved += state.free_at[Queue.LOAD] - wanted - schedule.table_cycles
    for tile in range(schedule.row_tiles):
        groups = schedule.last_tile_channel_groups if tile == schedule.row_tiles - 1 else schedule.tile_channel_groups
        wanted = max(state.free_at[Queue.LOAD], state.slots_free_at[0])
        filled = state.free_at[Queue.LOAD] = state.finish(wanted, schedule.fill_cycles)
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


@pytest.mark.parametrize("seed", range(60))
def test_chunks_taken_together_are_chunks_taken_one_by_one(seed: int) -> None:
    """Ends, waits and all else that is counted are those of the plain recurrence, from layer to layer."""
    memory = load_machine("tiny").memory
    fast, plain = PipelineState(memory.finish, 0), PipelineState(memory.finish, 0)
    for schedule in some_schedules(seed):
        schedule.run(fast, Waits())
        run_plainly(plain, schedule)
        assert fast == plain


def test_a_large_map_takes_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million pixels in chunks of one take no more than a dozen steps for a row tile."""
    steps, move = count(), _Head.move

    def counted(head: _Head, cycles: int) -> Any:
        next(steps)
        move(head, cycles)

    monkeypatch.setattr(_Head, "move", counted)
    schedule = replace(some_schedules(2)[0], pixels=1 << 20, chunk_pixels=1, row_tiles=3)
    schedule.run(PipelineState(load_machine("tiny").memory.finish, 0), Waits())
    assert next(steps) <= 36
