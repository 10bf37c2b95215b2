"""The integer reference and the simulator agree on Programs of every kind."""

import re
from dataclasses import replace

import numpy as np
import pytest

from quant.reference import run_reference
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Load, Pool, Tensor
from sim.ir.program import Program
from sim.testing import KINDS, TRAITS, corner_inputs, random_machine, random_program


def assert_equal_codes(program: Program, rng: np.random.Generator, images: int = 3) -> None:
    inputs = corner_inputs(rng, program, images)
    expected, found = simulate(program, inputs), run_reference(program, inputs)
    assert found.keys() == expected.keys()
    for name, codes in expected.items():
        assert found[name].dtype == np.int32
        np.testing.assert_array_equal(found[name], codes, err_msg=name)


@pytest.mark.parametrize("rounding", ["half_up", "half_even", "floor"])
@pytest.mark.parametrize("seed", range(30))
def test_equals_the_simulator_on_random_programs(seed: int, rounding: str) -> None:
    """Every tensor has the same codes: all kinds, all roundings, parts, residuals, wrapping, corner codes."""
    rng = np.random.default_rng(seed)
    program = random_program(rng, random_machine(rng))
    assert_equal_codes(replace(program, arithmetic=replace(program.arithmetic, rounding=rounding)), rng)


@pytest.mark.parametrize("kind", [*KINDS, "grouped"])
def test_equals_the_simulator_on_each_kind(kind: str) -> None:
    """Each kind of op on its own, so that none is tested by luck alone."""
    for seed in range(5):
        rng = np.random.default_rng(100 + seed)
        assert_equal_codes(random_program(rng, random_machine(rng), layers=1, kinds=[kind]), rng)


def test_random_programs_reach_every_trait() -> None:
    """The Programs above include residuals, broadcasts, tables, parts, uneven steps, kinds of weights, transfers."""
    found: set[str] = set()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        program = random_program(rng, random_machine(rng))
        convs = [op for op in program.ops if isinstance(op, Conv)]
        found |= {"wrap"} if program.arithmetic.wrap else set()
        found |= {"concat"} if any(len(tensor.parts) > 1 for tensor in program.tensors) else set()
        found |= {"residual"} if any(conv.residual for conv in convs) else set()
        found |= {"broadcast"} if any(conv.residual_broadcast != "none" for conv in convs) else set()
        found |= {"slice"} if any(op.input_parts for op in program.ops if isinstance(op, Conv | Pool)) else set()
        steps = [each for op in program.ops if isinstance(op, Conv | Pool) for each in (op.stride, op.dilation)]
        found |= {"unequal"} if any(vertical != horizontal for vertical, horizontal in steps) else set()
        found |= {"table"} if any(conv.table is not None for conv in convs) else set()
        found |= {conv.weight_format.kind for conv in convs} & {"bipolar", "unsigned"}
        found |= {"spill"} if any(isinstance(op, Load) for op in program.ops) else set()
        found |= {"wide"} if any(tensor.format.bits > 8 for tensor in program.tensors) else set()
    assert found == set(TRAITS) - {"large"}  # too large for a machine, which the reference does not have


def test_wraps_modulo_the_accumulator() -> None:
    """With `wrap` a sum beyond the accumulator comes back from the other end, exactly 2**acc_bits away."""
    weights, source = np.full((1, 4, 1, 1), 127, np.int8), Tensor("a", 1, 3, (4,), Format(8, "unsigned"))
    conv = Conv("conv", "a", "b", weights, Format(8, "signed"), np.ones((1, 1), np.int8), np.zeros(1, np.int64),
                np.zeros(1, np.int64), -512, 511)
    program = Program((source, Tensor("b", 1, 3, (1,), Format(10, "signed"))), (conv,),
                      Arithmetic(acc_bits=10, wrap=True))
    codes = np.array([[[[255, 1, 2]]] * 4]).reshape(1, 4, 1, 3)
    sums = codes.sum(axis=1) * 127
    assert sums.ravel().tolist() == [129540, 508, 1016]
    assert run_reference(program, {"a": codes})["b"].ravel().tolist() == [129540 % 1024 - 1024, 508, 1016 - 1024]


def test_pools_of_large_windows_take_little_memory() -> None:
    """A window of four million positions, nearly all of them pads, is the largest code of the map."""
    fmt, size = Format(4, "signed"), 2000
    pads = (size // 2, size // 2, size // 2 - 1, size // 2 - 2)
    program = Program((Tensor("a", 2, 1, (1,), fmt), Tensor("b", 2, 1, (1,), fmt)),
                      (Pool("pool", "a", "b", (size, size - 1), (1, 1), pads),))
    assert run_reference(program, {"a": np.array([[[[-5], [-3]]]])})["b"].ravel().tolist() == [-3, -3]


def test_codes_may_lie_anyhow() -> None:
    """Arrays that run backwards, are read only, big-endian or of 64 unsigned bits are those codes."""
    conv = Conv("conv", "a", "b", np.ones((1, 1, 1, 1), np.int8), Format(2, "signed"), np.ones((1, 1), np.int8),
                np.zeros(1, np.int64), np.zeros(1, np.int64), 0, 15)
    program = Program(tuple(Tensor(name, 1, 2, (1,), Format(4, "unsigned")) for name in "ab"), (conv,))
    codes = np.array([[[[3, 7]]]])
    fixed = codes.copy()
    fixed.flags.writeable = False
    for array in (codes[..., ::-1].copy()[..., ::-1], fixed, codes.astype(">i2"), codes.astype(np.uint64)):
        assert run_reference(program, {"a": array})["b"].tolist() == codes.tolist()


@pytest.mark.parametrize(("inputs", "error", "text"), [
    ({"a": [[[[1, 2]]]]}, TypeError, "input 'a' must be an integer array, not list"),
    ({"a": np.array([[[[1.0, 2.0]]]])}, TypeError, "input 'a': codes must be integers, not float64"),
    ({"a": np.array([[[[1, 16]]]])}, InputError, "input 'a': code 16 at (0, 0, 0, 1) is outside 0..15 of unsigned4"),
    ({"a": np.array([[1, 2]])}, InputError, "input 'a' must have shape (N, 1, 1, 2), not (1, 2)"),
    ({}, InputError, "inputs must be 'a', not none"),
])
def test_refuses_what_are_no_codes(inputs: dict[str, np.ndarray], error: type[Exception], text: str) -> None:
    """The same input as the simulator's, nothing rounded or wrapped in silence."""
    conv = Conv("conv", "a", "b", np.ones((1, 1, 1, 1), np.int8), Format(2, "signed"), np.ones((1, 1), np.int8),
                np.zeros(1, np.int64), np.zeros(1, np.int64), 0, 15)
    program = Program(tuple(Tensor(name, 1, 2, (1,), Format(4, "unsigned")) for name in "ab"), (conv,))
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        run_reference(program, inputs)
