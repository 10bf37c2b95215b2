"""Loads and Stores in a Program: what breaks their rules is refused with a sentence."""

from dataclasses import replace

import numpy as np
import pytest

from sim.errors import InputError
from sim.ir.formats import Format
from sim.ir.program import Conv, Load, Program, Record, Store, Tensor

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


RECORDS: dict[str, Record] = {
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


def program(changes: dict[str, Record | None] | None = None, tensors: dict[str, Tensor] | None = None) -> Program:
    """The Program above with records changed or left out (None), and tensors changed."""
    records = RECORDS | (changes or {})
    return Program(tuple((TENSORS | (tensors or {})).values()),
                   tuple(record for record in records.values() if record is not None), acc_bits=16, window=8, terms=2)


def test_the_program_that_the_others_break_is_legal() -> None:
    """A tensor that only changes its place is no new tensor: `out` stays the output."""
    assert [tensor.name for tensor in program().inputs] == ["image"]
    assert [tensor.name for tensor in program().outputs] == ["out"]


LOAD, STORE = RECORDS["load lower"], RECORDS["store lower"]
REFUSALS = [
    ({"load lower": replace(LOAD, input="x")}, {}, "record 'load lower': input 'x' is not a tensor of the program"),
    ({"load lower": replace(LOAD, first_row=4)}, {},
     "record 'load lower': first_row must be in 0..3 for 3 rows of the 6 of 'image', not 4"),
    ({"load lower": replace(LOAD, first_row=-1)}, {},
     "record 'load lower': first_row must be in 0..3 for 3 rows of the 6 of 'image', not -1"),
    ({}, {"lower": Tensor("lower", 3, 4, (2,), U4)}, "record 'load lower': 'lower' must be 5 wide like 'image', not 4"),
    ({}, {"lower": Tensor("lower", 3, 5, (1, 1), U4)},
     "record 'load lower': 'lower' must have parts (2,) like 'image', not (1, 1)"),
    ({}, {"lower": Tensor("lower", 3, 5, (2,), Format(3, "unsigned"))},
     "record 'load lower': 'lower' must have format unsigned4 like 'image', not unsigned3"),
    ({"load map": RECORDS["third"], "third": RECORDS["load map"]}, {},
     "record 'third': reads 'again' before part 0 of it is written"),
    ({"load lower": Load("load lower", "image", "upper")}, {}, "record 'load lower': 'upper' is already on chip"),
    ({"store lower": None}, {}, "record 'load map': reads 'map' in the host's memory before row 3 of part 0 is there"),
    ({"store lower": replace(STORE, first_row=2)}, {},
     "record 'store lower': row 2 of part 0 of 'map' is already in the host's memory"),
    ({"store lower": replace(STORE, output_part=1)}, {}, "record 'store lower': output_part must be in 0..0, not 1"),
    ({"store lower": Store("store lower", "sum2", "sum")}, {}, "record 'store lower': 'sum' is already on chip"),
    ({"third": conv("third", "map", "out")}, {},
     "record 'third': reads 'map', which lies in the host's memory, before it is loaded"),
    ({"third": conv("third", "again", "map")}, {}, "record 'third': 'map' is already written, by a Store"),
    ({"store out": Store("store out", "again", "again")}, {},
     "record 'store out': stores 'again', which no Conv or Pool has written"),
    ({"third": None, "store out": None}, {}, "tensor 'again' is loaded and never read"),
    ({"load map": None, "third": None, "store out": None, "store lower": None}, {},
     "tensor 'map': row 3 of part 0 is never written"),
]


@pytest.mark.parametrize(("changes", "tensors", "message"), REFUSALS)
def test_what_breaks_a_rule_is_refused(changes: dict, tensors: dict, message: str) -> None:
    """The record or tensor, the limit and what came."""
    with pytest.raises(InputError) as caught:
        program(changes, tensors)
    assert str(caught.value) == message
