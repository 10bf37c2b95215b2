"""Layers that are cut out of a Program compute there what they compute in the whole."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.cut import cut
from sim.ir.formats import Format
from sim.ir.lattice import Lattice
from sim.ir.ops import Conv, Load, Pool, Tensor
from sim.ir.program import Program
from sim.testing import random_machine, random_program
from sim.testing.stimulus.programs import TRAITS

BYTE = Format(8, "unsigned")
STAYING = [trait for trait in TRAITS if trait not in ("spill", "large")]
"""Traits of Programs without Loads and Stores."""


def chain(letters="abcd"):
    """Pools that copy tensor after tensor."""
    pools = (Pool(f"to {y}", x, y, kernel=(1, 1)) for x, y in pairwise(letters))
    return Program(tuple(Tensor(name, 2, 2, (3,), BYTE) for name in letters), tuple(pools))


def scaled(name, source, target, factor, part=0):
    """A layer of one channel that multiplies codes."""
    one = np.ones((1, 1), np.int8)
    return Conv(name, source, target, np.full((1, 1, 1, 1), factor, np.int8), Format(4, "signed"), one,
                shift=np.zeros(1, np.int64), offset=np.zeros(1, np.int64), low=0, high=255, output_part=part)


def joined():
    """Two layers write the parts of a tensor that a third one reads."""
    tensors = (Tensor("x", 1, 2, (1,), BYTE), Tensor("both", 1, 2, (1, 1), BYTE), Tensor("y", 1, 2, (1,), BYTE))
    sum_of_both = replace(scaled("sum", "both", "y", 1), weights=np.ones((1, 2, 1, 1), np.int8))
    return Program(tensors, (scaled("twice", "x", "both", 2, 1), scaled("thrice", "x", "both", 3), sum_of_both))


def interleaved():
    """Two layers write every second column of a tensor each."""
    tensors = (Tensor("x", 1, 2, (1,), BYTE), Tensor("y", 1, 4, (1,), BYTE))
    return Program(tensors, tuple(replace(scaled(f"column {column}", "x", "y", column + 1),
                                          lattice=Lattice((0, column), (1, 2))) for column in range(2)))


@pytest.mark.parametrize("seed", range(12))
def test_every_layer_alone_computes_what_it_computes_in_the_whole(seed: int) -> None:
    """Given the codes of the whole Program as inputs, each op that writes parts by itself writes the same codes."""
    rng = np.random.default_rng(seed)
    program = random_program(rng, random_machine(rng), layers=5, traits=STAYING)
    inputs = {t.name: rng.integers(t.format.low, t.format.high + 1, (2, *t.shape)) for t in program.inputs}
    whole = simulate(program, inputs)
    for op in program.ops:
        if isinstance(op, Conv) and op.lattice is not None:
            continue
        alone = cut(program, op.name, op.name)
        assert {tensor.name for tensor in alone.inputs} == {*op.reads}
        found = simulate(alone, {tensor.name: whole[tensor.name] for tensor in alone.inputs})
        tensor = program.tensor(op.output)
        channels = np.r_[tuple(tensor.part_slice(part) for part in op.written_parts(tensor))]
        np.testing.assert_array_equal(found[op.output], whole[op.output][:, channels])


def test_a_range_keeps_its_own_tensors_only() -> None:
    """What layers inside read of each other is no input; without ends it is the whole Program."""
    assert [tensor.name for tensor in cut(chain(), "to c").tensors] == ["b", "c", "d"]
    assert [tensor.name for tensor in cut(chain(), None, "to c").tensors] == ["a", "b", "c"]
    assert [op.name for op in cut(chain()).ops] == ["to b", "to c", "to d"]


def test_a_part_alone_is_a_tensor_of_one_part() -> None:
    """Of a concatenation the layer's own part stays, with its codes; a reader gets all parts from the host."""
    program = joined()
    twice = cut(program, "twice", "twice")
    assert twice.outputs[0].parts == (1,)
    assert simulate(twice, {"x": np.array([[[[3, 4]]]])})["both"].tolist() == [[[[6, 8]]]]
    assert cut(program, "sum").inputs[0].parts == (1, 1)


def test_layers_that_share_a_tensor_come_together() -> None:
    """All that write pixels of it give the codes of the whole Program."""
    program = interleaved()
    assert simulate(cut(program, "column 0", "column 1"), {"x": np.array([[[[3, 4]]]])})["y"].tolist() == [
        [[[3, 6, 4, 8]]]]


@pytest.mark.parametrize(("program", "ends", "message"), [
    (interleaved(), ("column 1", None), (
        "2 ops write pixels of 'y' between them; take all from 'column 0' to 'column 1'")),
    (joined(), ("thrice", "sum"), (
        "op 'sum' reads 'both', of which the ops from 'thrice' on write 1 of 2 parts; begin with 'twice'")),
    (chain(), ("to d", "to b"), "the last op, 'to b', must not come before the first, 'to d'"),
    (chain(), ("to a", None), "no op named 'to a'; there are to b, to c, to d"),
    (chain("a"), (None, None), "a Program without ops has no layers to cut out"),
    (Program(chain("ab").tensors, (Load("load", "a", "a"), *chain("ab").ops)), (None, None),
     "only a Program without Loads and Stores can be cut, and 'load' is a load"),
])
def test_what_cannot_be_cut_out_is_refused(program, ends, message) -> None:
    """Unknown names, the wrong order, half a concatenation, and Programs that move their tensors themselves."""
    with pytest.raises(InputError) as caught:
        cut(program, *ends)
    assert str(caught.value) == message
