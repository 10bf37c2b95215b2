"""Loads that run ahead."""

from dataclasses import replace

import numpy as np
import pytest

from sim.arch.machine import load_machine
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Load, Store, Tensor
from sim.ir.program import Program
from sim.mapping.scheduler import Scheduler
from sim.mapping.transfers import with_transfers
from sim.plan.allocator import allocate
from sim.plan.plan import plan
from sim.plan.prefetch import prefetch_loads
from sim.testing import random_machine, random_program

SLOW = load_machine("tiny").model_copy(update={"stream_bits": 1})


def conv(name: str, source: str, target: str, kernel: int, residual: str | None = None) -> Conv:
    digits, zeros = np.ones((8, 1), np.int8), np.zeros(8, np.int64)
    weights = np.ones((8, 8, kernel, kernel), np.int8)
    return Conv(name, source, target, weights, Format(8, "signed"), digits, zeros, zeros, 0, 255,
                pads=(kernel // 2,) * 4, residual=residual,
                residual_multiplier=digits if residual else np.zeros((0, 0), np.int8))


def late_input(first: int = 1, last: int = 8) -> Program:
    """A long layer, a short one, and one that also reads a second input."""
    maps = [Tensor(name, 6, 6, (8,), Format(bits, "unsigned"))
            for name, bits in (("x", 8), ("y", 8), ("a", first), ("b", 8), ("c", last))]
    layers = (replace(conv("long", "x", "a", 5), high=1), conv("short", "a", "b", 1),
              replace(conv("last", "b", "c", 1, residual="y"), high=1))
    return Program(tuple(maps), layers, Arithmetic(acc_bits=24, window=10, terms=3))


def test_a_load_moves_before_the_layer_that_would_hide_it_worse() -> None:
    """The short layer cannot hide the second Load, the long one before it can: the Program gets faster."""
    complete = with_transfers(late_input())
    names = [op.name for op in complete.ops]
    assert names == ["load x", "long", "short", "load y", "last", "store c"]
    moved = replace(complete, ops=prefetch_loads(complete, ["load x", "load y"], Scheduler(SLOW)).ops)
    assert [op.name for op in moved.ops] == ["load x", "long", "load y", "short", "last", "store c"]
    assert plan(moved, SLOW).timeline.total < plan(complete, SLOW).timeline.total


def test_a_load_stays_where_there_is_no_room() -> None:
    """The last layer's three maps fit five regions, but not the second input beside the short layer's two."""
    tight = SLOW.model_copy(update={"act_regions": 5, "region_words": 64})
    complete = with_transfers(late_input(first=8, last=1))
    assert prefetch_loads(complete, ["load y"], Scheduler(SLOW)).ops != complete.ops
    assert prefetch_loads(complete, ["load x", "load y"], Scheduler(tight)).ops == complete.ops


def test_a_load_stays_behind_the_store_of_its_rows() -> None:
    """What is stored and loaded again is loaded after it was stored, however much time that costs."""
    maps = [Tensor(name, 6, 6, (8,), Format(8, "unsigned")) for name in ("x", "a", "again", "b")]
    ops = (conv("first", "x", "a", 5), Store("store a", "a", "a"), Load("load again", "a", "again"),
               conv("second", "again", "b", 1))
    complete = with_transfers(Program(tuple(maps), ops, Arithmetic(acc_bits=24, window=10, terms=3)))
    assert prefetch_loads(complete, ["load again"], Scheduler(SLOW)).ops == complete.ops


@pytest.mark.parametrize("seed", range(30))
def test_programs_never_get_slower(seed: int) -> None:
    """Whatever moves, all tensors still find a place and the cycles do not grow."""
    rng = np.random.default_rng(seed)
    machine = random_machine(rng)
    complete = with_transfers(random_program(rng, machine, layers=5, traits=("residual",)))
    loads = [op.name for op in complete.ops if isinstance(op, Load)]
    moved = replace(complete, ops=prefetch_loads(complete, loads, Scheduler(machine)).ops)
    allocate({tensor.name: tensor for tensor in moved.tensors}, moved.ops, machine)
    assert plan(moved, machine).timeline.total <= plan(complete, machine).timeline.total
