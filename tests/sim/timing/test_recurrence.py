"""A Conv takes as long as its recurrence says, tile by tile, and few steps for a map of any size."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest

from sim.arch.machine import load_machine
from sim.mapping.schedule import ConvSchedule, conv_shape, schedule_conv
from sim.testing import random_machine, random_program
from sim.timing.recurrence import Clock, _Head


def some_schedules(seed: int) -> list[ConvSchedule]:
    """Of a random Program, with requantizers, weights and chunks that are slow or fast."""
    rng = np.random.default_rng(seed)
    machine = random_machine(rng)
    program = random_program(rng, machine)
    return [replace(schedule_conv(conv_shape(program, conv), machine), pixels=int(rng.integers(1, 400)),
                    chunk_pixels=int(rng.integers(1, 9)), requant_cycles=int(rng.integers(1, 60)),
                    fill_cycles=int(rng.integers(0, 300)), row_tiles=int(rng.integers(1, 5)))
            for conv in program.convs]


def by_the_recurrence(clock: Clock, schedule: ConvSchedule, start: int) -> int:
    """The recurrence of the documentation, one tile after another."""
    issued = requantized = start
    banks = [start, start]
    residual_ready = start + schedule.shape.bits_residual + 2
    for tile in range(schedule.row_tiles):
        groups = schedule.last_groups if tile == schedule.row_tiles - 1 else schedule.groups
        wanted = max(clock.filled, clock.released[0])
        clock.fill(wanted, wanted, schedule.fill_cycles)
        for chunk, pixels in enumerate(schedule.chunks):
            ready = max(issued, banks[0])
            issue = ready if chunk else max(ready, clock.filled)
            clock.wait_accumulator += ready - issued
            clock.wait_weights += issue - ready
            accumulated = issue + (pixels * schedule.blocks - 1) * schedule.step_cycles + schedule.latency
            requantized = max(accumulated, requantized, residual_ready) + pixels * groups * schedule.requant_cycles
            banks = [banks[1], requantized]
            issued = issue + pixels * schedule.blocks * schedule.step_cycles
        clock.released = clock.released[1], issued
    clock.pairs += schedule.row_tiles * schedule.pixels * schedule.blocks * schedule.busy_cycles
    return requantized + schedule.write_back


@pytest.mark.parametrize("seed", range(60))
def test_chunks_taken_together_are_chunks_taken_one_by_one(seed: int) -> None:
    """Ends, waits and all else that is counted are those of the plain recurrence, from layer to layer."""
    memory = load_machine("tiny").memory
    fast, plain = Clock(memory.finish, 0), Clock(memory.finish, 0)
    for schedule in some_schedules(seed):
        fast.computed = fast.conv(schedule, fast.computed)
        plain.computed = by_the_recurrence(plain, schedule, plain.computed)
        assert fast == plain


def test_a_large_map_takes_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million pixels in chunks of one take no more than a dozen steps for a row tile."""
    steps, move = count(), _Head.move

    def counted(head: _Head, cycles: int) -> Any:
        next(steps)
        move(head, cycles)

    monkeypatch.setattr(_Head, "move", counted)
    schedule = replace(some_schedules(0)[0], pixels=1 << 20, chunk_pixels=1, row_tiles=3)
    Clock(load_machine("tiny").memory.finish, 0).conv(schedule, 0)
    assert next(steps) <= 36
