"""A Program as a graph: its inputs, outputs and names. Its rules are in test_checks."""

import copy
import pickle

import numpy as np
import pytest

from sim.errors import InputError
from sim.functional.engine.simulator import Simulator
from sim.functional.reference import simulate
from sim.ir.formats import Format
from sim.ir.ops import Conv, Pool, Tensor
from sim.ir.program import Program
from sim.testing import random_machine, random_program


@pytest.mark.parametrize("seed", range(20))
def test_every_tensor_is_an_input_or_written(seed: int) -> None:
    """Inputs are what no op writes, outputs what none reads; the last layer's tensor is an output."""
    rng = np.random.default_rng(seed)
    program = random_program(rng, random_machine(rng))
    written = {name for name in (op.writes for op in program.ops) if name is not None}
    assert {t.name for t in program.inputs} | written == {t.name for t in program.tensors}
    assert {t.name for t in program.inputs} & written == set()
    assert program.ops[-1].output in {t.name for t in program.outputs}
    assert not {t.name for t in program.outputs} & {name for op in program.ops for name in op.reads}


def test_tensors_are_found_by_name() -> None:
    """A name that does not exist is answered with those that do."""
    rng = np.random.default_rng(0)
    program = random_program(rng, random_machine(rng), layers=1, kinds=["dense"], traits=[])
    assert program.tensor("t1").name == "t1"
    with pytest.raises(InputError, match=r"^no tensor named 't9'; there are t0, t1$"):
        program.tensor("t9")


def test_a_program_without_ops_is_legal() -> None:
    """Nothing to do is no mistake: what comes in goes out."""
    only = Tensor("x", 1, 1, (1,), Format(1, "unsigned"))
    program = Program((only,), ())
    assert program.inputs == program.outputs == (only,)
    codes = simulate(program, {"x": np.ones((2, 1, 1, 1), np.int8)})
    assert codes["x"].tolist() == [[[[1]]], [[[1]]]]
    assert Simulator(program).run({"x": np.ones((2, 1, 1, 1), np.int8)}) == {}


def test_a_copy_is_a_program_like_it() -> None:
    """Pickled, copied and deeply copied it computes the same, and nobody can write to its arrays."""
    rng = np.random.default_rng(3)
    program = random_program(rng, random_machine(rng))
    inputs = {t.name: rng.integers(t.format.low, t.format.high + 1, (2, *t.shape)) for t in program.inputs}
    right = simulate(program, inputs)
    for again in (pickle.loads(pickle.dumps(program)), copy.copy(program), copy.deepcopy(program)):
        for conv in again.convs:
            arrays = [value for value in vars(conv).values() if isinstance(value, np.ndarray)]
            assert len(arrays) == 5
            assert not any(array.flags.writeable for array in arrays)
        for name, codes in simulate(again, inputs).items():
            np.testing.assert_array_equal(codes, right[name])


def test_a_forged_copy_is_refused() -> None:
    """What was pickled is checked again: a pickle whose shifts were changed is no Program."""
    conv = Conv("conv", "x", "y", np.ones((1, 1, 1, 1), np.int8), Format(2, "signed"), np.ones((1, 1), np.int8),
                np.full(1, 7), np.zeros(1, np.int64), 0, 1)
    program = Program(tuple(Tensor(name, 1, 1, (1,), Format(1, "unsigned")) for name in "xy"), (conv,))
    stored = pickle.dumps(program)
    assert stored.count(np.full(1, 7).tobytes()) == 1
    forged = stored.replace(np.full(1, 7).tobytes(), np.full(1, -7).tobytes())
    with pytest.raises(InputError, match=r"^op 'conv': shift must be in 0\.\.43, not -7\.\.-7$"):
        pickle.loads(forged)


def test_a_program_without_inputs_is_refused() -> None:
    """Neither an empty Program nor one that reads only what it writes can be run."""
    only, circle = Tensor("x", 1, 1, (1,), Format(1, "unsigned")), Pool("p", "x", "x", (1, 1))
    for tensors, ops in (((), ()), ((only,), (circle,))):
        with pytest.raises(InputError, match=r"^program: needs an input: a tensor that no op writes$"):
            Program(tensors, ops)
