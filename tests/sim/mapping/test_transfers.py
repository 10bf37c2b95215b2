"""Loads and Stores on a machine, and those that a Program lacks."""

from dataclasses import replace

import numpy as np
import pytest

from sim.arch.machine import load_machine
from sim.functional.reference import simulate
from sim.ir.formats import Format
from sim.ir.ops import Load, Store, Tensor, Transfer
from sim.ir.program import Program
from sim.mapping.activation_layout import bank_contents
from sim.mapping.scheduler import Scheduler
from sim.mapping.transfer_schedule import TransferSchedule, schedule_transfer
from sim.mapping.transfers import unique_name, with_transfers
from sim.testing import TRAITS, corner_inputs, random_machine, random_program


def some_program(seed: int) -> Program:
    rng = np.random.default_rng(seed)
    return random_program(rng, random_machine(rng), layers=4, traits=[t for t in TRAITS if t != "spill"])


@pytest.mark.parametrize("seed", range(30))
def test_every_input_is_loaded_and_every_output_stored(seed: int) -> None:
    """Each once, inputs before their first reader, outputs after their last writer; nothing else changes."""
    program = some_program(seed)
    complete = with_transfers(program)
    assert [r for r in complete.ops if not isinstance(r, Transfer)] == list(program.ops)
    assert sorted(r.output for r in complete.ops if isinstance(r, Load)) == sorted(
        t.name for t in program.inputs)
    assert sorted(r.input for r in complete.ops if isinstance(r, Store)) == sorted(
        t.name for t in program.outputs)
    assert (complete.inputs, complete.outputs) == (program.inputs, program.outputs)
    inputs = corner_inputs(np.random.default_rng(seed), program, 2)
    before, after = simulate(program, inputs), simulate(complete, inputs)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_complete_program_stays_as_it_is() -> None:
    """Nothing is added twice."""
    complete = with_transfers(some_program(0))
    assert with_transfers(complete) is complete


def test_added_ops_take_names_that_are_free() -> None:
    """An op that is already called like the Load keeps its name."""
    program = some_program(0)
    (source, *_), first = program.inputs, program.ops[0]
    renamed = replace(program, ops=(replace(first, name=f"load {source.name}"), *program.ops[1:]))
    assert with_transfers(renamed).ops[0].name == f"load {source.name}'"
    assert unique_name("a", {"a", "a'"}) == "a''"


@pytest.mark.parametrize("seed", range(20))
def test_beats_hold_all_words_of_the_tensor(seed: int) -> None:
    """Whole words of all banks, in the fewest beats."""
    rng = np.random.default_rng(seed)
    machine = random_machine(rng)
    program = with_transfers(random_program(rng, machine))
    for op in program.ops:
        if isinstance(op, Transfer):
            schedule = Scheduler(machine).schedule(program, op)
            assert isinstance(schedule, TransferSchedule)
            image = bank_contents(np.zeros(schedule.tensor.shape, np.int32), schedule.tensor, machine)
            assert image.shape == (machine.columns, schedule.words, machine.lanes)
            assert 0 <= schedule.beats * machine.stream_bits - image.size < machine.stream_bits


def test_beats_grow_with_the_bits() -> None:
    """A plane is as many words as any other."""
    tensor, load = Tensor("a", 5, 3, (9,), Format(1, "unsigned")), Load("load", "a", "a")
    for bits in range(1, 9):
        wide = replace(tensor, format=Format(bits, "unsigned"))
        assert schedule_transfer(load, wide, load_machine("tiny")).words == 2 * 3 * 2 * bits
