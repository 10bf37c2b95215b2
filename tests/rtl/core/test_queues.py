"""The three queues beside one another: what comes in, what computes, what goes out."""

from __future__ import annotations

import numpy as np
import pytest

from sim.arch.host_memory import Memory
from sim.arch.machine import Machine, load_machine
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Load, Pool, Store, Tensor
from sim.ir.program import Program
from sim.plan.plan import plan
from sim.testing import corner_inputs

MEMORIES = {
    "ideal": Memory(),
    "late": Memory(latency_cycles=150),
    "half": Memory(beats=1, period_cycles=2),
    "bursts": Memory(latency_cycles=13, beats=7, period_cycles=40),
}
"""Behind both streams. The ideal and the late one give a beat in every cycle; only the late one delays what is read
back."""


def conv(name, source, target, seed, **options):
    """A 3 x 3 convolution from four channels to four."""
    weights = np.random.default_rng(seed).integers(-8, 8, (4, 4, 3, 3)).astype(np.int8)
    return Conv(name, source, target, weights, Format(4, "signed"), np.full((4, 1), 2, np.int8),
                np.full(4, 7), np.arange(-60, 100, 40), 0, 15, pads=(1, 1, 1, 1), **options)


def interleaved():
    """Transfers at every place where they can run beside a layer, and a tensor that is stored, kept and read back."""
    codes = Format(4, "unsigned", zero_point=3)
    tensors = [Tensor(name, 7, 6, (4,), codes) for name in "abcdf"]
    tensors += [Tensor("rows", 4, 6, (4,), codes), Tensor("small", 3, 5, (4,), codes)]
    residual = {"residual": "c", "residual_multiplier": np.full((4, 1), 7, np.int8)}
    ops = (
        Load("load a", "a", "a"), Load("load b", "b", "b"),
        conv("first", "a", "c", 1), Store("store c", "c", "c"),
        conv("second", "b", "d", 2), Store("store d", "d", "d"),
        Load("read c back", "c", "rows", first_row=2),
        conv("third", "d", "f", 3, **residual),
        Pool("fourth", "rows", "small", (2, 2)),
        Store("store f", "f", "f"), Store("store small", "small", "small"),
    )
    return Program(tuple(tensors), ops, Arithmetic(acc_bits=24, window=10, terms=3))


def overlap(spans, first, second):
    """Whether two ops run at the same time."""
    return spans[first][0] < spans[second][1] and spans[second][0] < spans[first][1]


@pytest.mark.parametrize("memory", MEMORIES)
def test_queues_run_beside_one_another(compare, memory):
    """Loads come in and Stores go out while layers compute, whatever the memory: codes, ends and counters are equal."""
    machine = Machine(**load_machine("tiny").model_dump() | {"act_regions": 10, "memory": MEMORIES[memory]})
    planned = plan(interleaved(), machine)
    times = planned.timeline
    spans = {op.name: span for op, span in
             zip(planned.program.ops, zip(times.starts, times.ends, strict=True), strict=True)}
    assert overlap(spans, "load b", "first")
    assert overlap(spans, "store c", "second")
    assert overlap(spans, "read c back", "second")
    assert not overlap(spans, "store d", "third")
    assert compare(planned, corner_inputs(np.random.default_rng(4), planned.program, 1)) == []


@pytest.mark.parametrize("stream_bits", [pytest.param(2, marks=pytest.mark.nightly), 8])
def test_beats_of_any_width(compare, stream_bits):
    """Beats may be a piece of a word, or a word; above they are words of two addresses."""
    machine = Machine(**load_machine("tiny").model_dump() | {"act_regions": 10, "stream_bits": stream_bits})
    planned = plan(interleaved(), machine)
    assert compare(planned, corner_inputs(np.random.default_rng(6), planned.program, 1)) == []
