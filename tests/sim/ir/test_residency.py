"""Loads and Stores in a Program: what breaks their rules is refused with a sentence."""

from dataclasses import replace

import numpy as np
import pytest

from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Load, Op, Store, Tensor
from sim.ir.program import Program

U4 = Format(4, "unsigned")
TENSORS = {
    "image": Tensor("image", 6, 5, (2,), U4),
    "upper": Tensor("upper", 3, 5, (2,), U4),
    "lower": Tensor("lower", 3, 5, (2,), U4),
    "sum": Tensor("sum", 3, 5, (3,), U4),
    "sum2": Tensor("sum2", 3, 5, (3,), U4),
    "map": Tensor("map", 6, 5, (3,), U4),
    "again": Tensor("again", 6, 5, (3,), U4),
    "out": Tensor("out", 6, 5, (3,), U4),
}


def conv(name: str, source: str, target: str) -> Conv:
    channels = TENSORS[source].channels
    return Conv(name, source, target, np.ones((3, channels, 1, 1), np.int8), Format(2, "signed"),
                np.ones((3, 1), np.int8), np.zeros(3, np.int64), np.zeros(3, np.int64), 0, 15)


OPS: dict[str, Op] = {
    "load upper": Load("load upper", "image", "upper"),
    "first": conv("first", "upper", "sum"),
    "store upper": Store("store upper", "sum", "map"),
    "load lower": Load("load lower", "image", "lower", 3),
    "second": conv("second", "lower", "sum2"),
    "store lower": Store("store lower", "sum2", "map", 3),
    "load map": Load("load map", "map", "again"),
    "third": conv("third", "again", "out"),
    "store out": Store("store out", "out", "out"),
}


def program(changes: dict[str, Op | None] | None = None, tensors: dict[str, Tensor] | None = None) -> Program:
    """The Program above with ops changed or left out (None), and tensors changed."""
    ops = OPS | (changes or {})
    return Program(tuple((TENSORS | (tensors or {})).values()),
                   tuple(op for op in ops.values() if op is not None), Arithmetic(acc_bits=16, window=8, terms=2))


def test_the_program_that_the_others_break_is_legal() -> None:
    """A tensor that only changes its place is no new tensor: `out` stays the output."""
    assert [tensor.name for tensor in program().inputs] == ["image"]
    assert [tensor.name for tensor in program().outputs] == ["out"]


LOAD, STORE = OPS["load lower"], OPS["store lower"]
REFUSALS = [
    ({"load lower": replace(LOAD, input="x")}, {}, "op 'load lower': input 'x' is not a tensor of the program"),
    ({"load lower": replace(LOAD, first_row=4)}, {},
     "op 'load lower': first_row must be in 0..3 for 3 rows of the 6 of 'image', not 4"),
    ({"load lower": replace(LOAD, first_row=-1)}, {},
     "op 'load lower': first_row must be in 0..3 for 3 rows of the 6 of 'image', not -1"),
    ({}, {"lower": Tensor("lower", 3, 4, (2,), U4)}, "op 'load lower': 'lower' must be 5 wide like 'image', not 4"),
    ({}, {"lower": Tensor("lower", 3, 5, (1, 1), U4)},
     "op 'load lower': 'lower' must have parts (2,) like 'image', not (1, 1)"),
    ({}, {"lower": Tensor("lower", 3, 5, (2,), Format(3, "unsigned"))},
     "op 'load lower': 'lower' must have format unsigned4 like 'image', not unsigned3"),
    ({"load map": OPS["third"], "third": OPS["load map"]}, {},
     "op 'third': reads 'again' before part 0 of it is written"),
    ({"load lower": Load("load lower", "image", "upper")}, {}, "op 'load lower': 'upper' is already on chip"),
    ({"store lower": None}, {}, "op 'load map': reads 'map' in the host's memory before row 3 of part 0 is there"),
    ({"store lower": replace(STORE, first_row=2)}, {},
     "op 'store lower': row 2 of part 0 of 'map' is already in the host's memory"),
    ({"store lower": replace(STORE, output_part=1)}, {}, "op 'store lower': output_part must be in 0..0, not 1"),
    ({"store lower": Store("store lower", "sum2", "sum")}, {}, "op 'store lower': 'sum' is already on chip"),
    ({"third": conv("third", "map", "out")}, {},
     "op 'third': reads 'map', which lies in the host's memory, before it is loaded"),
    ({"third": conv("third", "again", "map")}, {}, "op 'third': 'map' is already written, by a Store"),
    ({"store out": Store("store out", "again", "again")}, {},
     "op 'store out': stores 'again', which no Conv or Pool has written"),
    ({"third": None, "store out": None}, {}, "tensor 'again' is loaded and never read"),
    ({"load map": None, "third": None, "store out": None, "store lower": None}, {},
     "tensor 'map': row 3 of part 0 is never written"),
]


@pytest.mark.parametrize(("changes", "tensors", "message"), REFUSALS)
def test_what_breaks_a_rule_is_refused(changes: dict, tensors: dict, message: str) -> None:
    """The op or tensor, the limit and what came."""
    with pytest.raises(InputError) as caught:
        program(changes, tensors)
    assert str(caught.value) == message
