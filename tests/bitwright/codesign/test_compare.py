"""The comparison finds every planted difference and names the first in execution order."""

import numpy as np
import pytest

from bitwright.codesign.compare import compare_codes
from sim.functional.reference import simulate
from sim.ir.formats import Format
from sim.ir.ops import Conv, Tensor
from sim.ir.program import Program
from sim.testing import corner_inputs, random_machine, random_program


@pytest.fixture
def run() -> tuple:
    rng = np.random.default_rng(3)
    machine = random_machine(rng)
    program = random_program(rng, machine, layers=3, traits=[])
    while len(program.ops) < 2:
        program = random_program(rng, machine, layers=3, traits=[])
    return program, simulate(program, corner_inputs(rng, program, 2))


def test_equal_codes_have_no_mismatch(run: tuple) -> None:
    """All tensors are compared, all codes counted, and nothing differs."""
    program, codes = run
    result = compare_codes(program, ("a", "b"), codes, {name: array.copy() for name, array in codes.items()})
    assert (result.tensors, result.mismatches, result.first) == (len(program.tensors), 0, None)
    assert result.codes == sum(array.size for array in codes.values())


def test_the_first_divergence_is_named_with_both_values(run: tuple) -> None:
    """With differences planted in two tensors, the one written first is reported: pixel, lowest plane and values."""
    program, codes = run
    other = {name: array.copy() for name, array in codes.items()}
    early, late = program.ops[0], program.ops[-1]
    other[late.output][0, 0, 0, 0] ^= 1
    other[early.output][1, 0, 0, 0] ^= 2
    result = compare_codes(program, ("a", "b"), codes, other)
    assert result.mismatches == 2
    assert result.first is not None
    place = result.first
    assert (place.op, place.tensor, place.image, place.channel, place.y, place.x) == (
        early.name, early.output, 1, 0, 0, 0)
    assert place.plane == 1
    assert place.values == (codes[early.output][1, 0, 0, 0], other[early.output][1, 0, 0, 0])


def test_different_shapes_are_an_error_of_the_engine(run: tuple) -> None:
    """Engines that do not even agree on shapes are a bug, not a mismatch."""
    program, codes = run
    name = program.ops[0].output
    other = dict(codes) | {name: codes[name][:1]}
    with pytest.raises(ValueError, match=rf"^tensor '{name}': a has shape .*, b \(1, .*\)$"):
        compare_codes(program, ("a", "b"), codes, other)


def test_the_op_that_writes_the_part_is_named() -> None:
    """A tensor of two parts has two writers; the difference is in the second one's channel."""
    def conv(name: str, part: int) -> Conv:
        one, zeros = np.ones((1, 1, 1, 1), np.int8), np.zeros(1, np.int64)
        return Conv(name, "x", "y", one, Format(2, "signed"), np.ones((1, 1), np.int8), zeros, zeros, 0, 15,
                    output_part=part)

    u4 = Format(4, "unsigned")
    program = Program((Tensor("x", 1, 1, (1,), u4), Tensor("y", 1, 1, (1, 1), u4)), (conv("a", 0), conv("b", 1)))
    codes = {"x": np.zeros((1, 1, 1, 1), np.int32), "y": np.zeros((1, 2, 1, 1), np.int32)}
    other = codes | {"y": np.array([[[[0]], [[4]]]], np.int32)}
    first = compare_codes(program, ("a", "b"), codes, other).first
    assert first is not None
    assert (first.op, first.channel, first.plane) == ("b", 1, 2)
