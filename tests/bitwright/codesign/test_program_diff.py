"""Two Programs are equal, or everything in which they differ is named, with where and by how much."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bitwright.cli.app import main
from bitwright.codesign.program_diff import program_differences
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Pool, Table, Tensor
from sim.ir.program import Program
from sim.ir.serialize import load_program, save_program
from sim.ir.signed_digits import digits_of
from sim.testing import random_machine, random_program

NIBBLE, BYTE = Format(4, "signed"), Format(8, "unsigned")


def conv(**fields: object) -> Conv:
    """Make a Conv of two channels, 1 x 1."""
    return Conv(**{"name": "layer", "input": "x", "output": "y", "weights": np.array([1, -2, 3, -4], np.int8).reshape(
        2, 2, 1, 1), "weight_format": NIBBLE, "multiplier": digits_of([[2], [3]]), "shift": np.array([1, 1]),
        "offset": np.array([5, -5]), "low": 0, "high": 255, **fields})


def program(layer: Conv, arithmetic: Arithmetic = Arithmetic()) -> Program:  # noqa: B008
    return Program((Tensor("x", 2, 2, (2,), BYTE), Tensor("y", 2, 2, (2,), BYTE), Tensor("z", 2, 2, (2,), BYTE)),
                   (layer, Pool("pool", "y", "z", (1, 1))), arithmetic)


@pytest.mark.parametrize("seed", range(4))
def test_a_program_that_was_saved_and_loaded_is_equal(seed: int, tmp_path: Path) -> None:
    """Nothing differs, whatever is in it."""
    rng = np.random.default_rng(seed)
    drawn = random_program(rng, random_machine(rng))
    save_program(drawn, tmp_path / "p")
    assert program_differences(drawn, load_program(tmp_path / "p")) == []


@pytest.mark.parametrize(("fields", "sentence"), [
    ({"weights": np.array([1, -2, 5, -8], np.int8).reshape(2, 2, 1, 1)},
     "2 of 4 numbers of weights differ, by up to 4; first at (1, 0, 0, 0), 3 and 5"),
    ({"offset": np.array([5, 7])}, "1 of 2 numbers of offset differ, by up to 12; first at (1,), -5 and 7"),
    ({"multiplier": digits_of([[2], [-3]])},
     "1 of 2 numbers of multiplier differ, by up to 8; first at (1,), 4 and -4"),
    ({"shift": np.array([1, 2])}, "1 of 2 numbers of shift differ, by up to 1; first at (1,), 1 and 2"),
    ({"low": 3}, "low is 0 and 3"),
    ({"weight_format": Format(5, "signed")}, "weight_format is signed4 and signed5"),
    ({"multiplier": digits_of([[3, -2], [3]])}, "digits is 1 and 2")])
def test_every_field_of_a_conv_is_compared(fields: dict, sentence: str) -> None:
    """What, how many, by how much, and the first; M as a number, and how many digits it has."""
    found = program_differences(program(conv()), program(conv(**fields)))
    assert [str(difference) for difference in found] == [f"op 'layer': {sentence}"]


def test_tables_are_compared_by_what_they_hold() -> None:
    """Index and codes; the same table is equal, wherever it was made."""
    def ending(*codes: int, zero_point: int = 0) -> Program:
        table = Table(Format(2, "unsigned", zero_point), np.array(codes, np.int16))
        return program(conv(table=table, low=0, high=3))

    one = ending(0, 1, 2, 3)
    assert program_differences(one, ending(0, 1, 2, 3)) == []
    assert [str(x) for x in program_differences(one, ending(0, 1, 9, 4))] == [
        "op 'layer': 2 of 4 numbers of table differ, by up to 7; first at (2,), 2 and 9"]
    assert [str(x) for x in program_differences(one, ending(0, 1, 2, 3, zero_point=1))] == [
        "op 'layer': index of table is unsigned2 and unsigned2 z=1"]
    assert [str(x) for x in program_differences(program(conv(high=3)), one)] == [
        "op 'layer': table is missing and present"]


def test_tensors_ops_order_and_arithmetic_are_compared() -> None:
    """What only one has, other formats, another order, another kind, other shapes of arrays."""
    one = program(conv())
    wider = replace(one, tensors=(replace(one.tensors[0], format=NIBBLE), *one.tensors[1:]))
    assert [str(x) for x in program_differences(one, wider)] == ["tensor 'x': format is unsigned8 and signed4"]
    assert [str(x) for x in program_differences(one, program(conv(), Arithmetic(24, rounding="floor")))] == [
        "arithmetic: acc_bits is 32 and 24", "arithmetic: rounding is half_up and floor"]
    shorter = Program(one.tensors[:2], one.ops[:1])
    assert [str(x) for x in program_differences(shorter, one)] == [
        "tensor 'z': only the second Program has it", "op 'pool': only the second Program has it"]
    inputs = (Tensor("x", 2, 2, (2,), BYTE), Tensor("a", 2, 2, (2,), BYTE), Tensor("b", 2, 2, (2,), BYTE))
    pools = Pool("p", "x", "a", (1, 1)), Pool("q", "x", "b", (1, 1))
    assert [str(x) for x in program_differences(Program(inputs, pools), Program(inputs, pools[::-1]))] == [
        "program: op 0 of those that both have is 'p' and 'q'"]
    big = conv(weights=np.ones((2, 2, 2, 2), np.int8), pads=(0, 0, 1, 1))
    assert [str(x) for x in program_differences(one, program(big))] == [
        "op 'layer': shape of weights is (2, 2, 1, 1) and (2, 2, 2, 2)",
        "op 'layer': pads is (0, 0, 0, 0) and (0, 0, 1, 1)"]
    renamed = Program(one.tensors, (conv(), replace(one.ops[1], name="pool")))
    assert program_differences(one, renamed) == []
    swapped = Program((inputs[0], inputs[1]), (Pool("layer", "x", "a", (1, 1)),))
    assert "op 'layer': kind is conv and pool" in [str(x) for x in program_differences(one, swapped)]


def test_the_command_exits_1_where_programs_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Like diff: 0 and `equal`, or 1 and what differs; JSON has the numbers."""
    save_program(program(conv()), tmp_path / "a")
    save_program(program(conv(high=100)), tmp_path / "b")
    assert (main(["diff", str(tmp_path / "a"), str(tmp_path / "a")]), capsys.readouterr().out) == (0, "equal\n")
    assert main(["diff", str(tmp_path / "a"), str(tmp_path / "b")]) == 1
    assert capsys.readouterr().out == "op 'layer': high is 255 and 100\n"
    assert main(["diff", str(tmp_path / "a"), str(tmp_path / "b"), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert len(told.pop("provenance")["files"]) == 2
    assert told == {"equal": False, "differences": [
        {"where": "op 'layer'", "what": "high", "left": 255, "right": 100, "index": None, "count": None, "size": None,
         "largest": None}]}
