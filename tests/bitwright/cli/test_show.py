"""`bitwright show` prints what is in a Program, as a table, JSON or a graph."""

import json
from pathlib import Path

import numpy as np
import pytest

from bitwright.cli.app import main
from sim.ir.formats import Format
from sim.ir.ops import Conv, Load, Pool, Store, Tensor
from sim.ir.program import Program
from sim.ir.serialize import program_digest, save_program
from sim.ir.signed_digits import digits_of

BYTE = Format(8, "unsigned")
UNIT, SIGNED = Format(1, "unit"), Format(3, "signed")


def conv(name: str, source: str, target: str, shape: tuple[int, ...], fmt: Format = SIGNED, **fields: object) -> Conv:
    channels = shape[0]
    options = {"multiplier": digits_of([[3, -1]] * channels), "shift": np.ones(channels, np.int64), "low": 0,
               "offset": np.zeros(channels, np.int64), "high": 255, **fields}
    return Conv(name, source, target, np.ones(shape, np.int8), fmt, **options)


@pytest.fixture
def program() -> Program:
    """One op of each kind."""
    tensors = [Tensor(name, *rest, BYTE) for name, rest in {
        'x"<1>': (4, 4, (2,)), "dense": (2, 2, (2, 3)), "dw": (4, 4, (2,)), "sum": (4, 4, (2,)), "same": (4, 4, (2,)),
        "mean": (2, 2, (2,)), "max": (2, 2, (2, 3)), "flat": (1, 1, (7,)), "row": (2, 4, (2,))}.items()]
    residual = {"residual": "dw", "residual_multiplier": digits_of([[1], [2]])}
    ops = (conv("conv", 'x"<1>', "dense", (2, 2, 3, 3), stride=(2, 2), pads=(1, 1, 0, 0)),
           conv("other", 'x"<1>', "dense", (3, 2, 2, 2), stride=(2, 2), output_part=1),
           conv("deep", 'x"<1>', "dw", (2, 1, 3, 3), groups=2, dilation=(2, 1), pads=(2, 1, 2, 1)),
           conv("add", 'x"<1>', "sum", (2, 1, 1, 1), UNIT, groups=2, **residual),
           conv("copy", 'x"<1>', "same", (2, 1, 1, 1), UNIT, groups=2),
           conv("average", "sum", "mean", (2, 1, 2, 2), UNIT, groups=2, stride=(2, 2)),
           Pool("pool", "dense", "max", (1, 1)), conv("linear", "max", "flat", (7, 3, 2, 2), input_parts=(1, 2)),
           Store("store", "sum", "sum"), Load("load", 'x"<1>', "row", 2), conv("last", "row", "end", (1, 2, 1, 1)))
    return Program((*tensors, Tensor("end", 2, 4, (1,), BYTE)), ops)


@pytest.fixture
def path(program: Program, tmp_path: Path) -> Path:
    save_program(program, tmp_path / "p.safetensors")
    return tmp_path / "p.safetensors"


def test_json_has_everything(program: Program, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Kinds, shapes, windows, digits and multiplications of every op; totals are their sums."""
    assert main(["show", str(path), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["sha256"] == program_digest(program)
    rows = {row["name"]: row for row in data["ops"]}
    assert {name: row["kind"] for name, row in rows.items()} == {
        "conv": "conv", "other": "conv", "deep": "depthwise", "add": "add", "copy": "copy", "average": "average",
        "pool": "max pool", "linear": "linear", "store": "store", "load": "load", "last": "conv"}
    assert rows["conv"] == {
        "name": "conv", "kind": "conv", "inputs": ['x"<1>'], "output": "dense[0]", "shape": [2, 2, 2],
        "input_format": "unsigned8", "output_format": "unsigned8", "weight_format": "signed3", "kernel": [3, 3],
        "stride": [2, 2], "dilation": [1, 1], "groups": 1, "pads": [1, 1, 0, 0], "digits": 2, "residual_digits": 0,
        "macs": 2 * 2 * 2 * 2 * 9, "first_row": None}
    assert (rows["add"]["inputs"], rows["add"]["residual_digits"]) == (['x"<1>', "dw"], 1)
    assert rows["linear"]["inputs"] == ["max[1]"]
    assert (rows["load"]["first_row"], rows["load"]["kernel"], rows["linear"]["macs"]) == (2, None, 7 * 3 * 4)
    assert data["macs"] == sum(row["macs"] for row in data["ops"])
    assert data["weight_bits"] == 3 * (36 + 24 + 18 + 84 + 2)
    assert [row["role"] for row in data["tensors"] if row["role"] != "inner"] == ["input", *["output"] * 4]


def test_people_see_a_table(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each op, then inputs, outputs and totals."""
    assert main(["show", str(path)]) == 0
    out = capsys.readouterr().out
    (line,) = (line for line in out.splitlines() if line.strip().startswith("deep"))
    assert " ".join(line.split()) == ('deep depthwise x"<1> dw 2 x 4 x 4 unsigned8 to unsigned8 signed3 '
                                      "3 x 3 / 1, pads 2 1 2 1, dilation 2 x 1 2 288")
    assert "inputs 'x\"<1>'; outputs 'same', 'mean', 'flat', 'end'\n" in out
    assert out.endswith("492 bits of weights; accumulators of 32 bits, window 12, half_up\n")


def test_graphs_name_every_tensor_and_op(program: Program, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A node for each, an edge for what is read and written, and letters that mean something there are escaped."""
    edges = sum(len(op.reads or (op.input,)) + 1 for op in program.ops)
    assert main(["show", str(path), "--graph", "dot"]) == 0
    dot = capsys.readouterr().out.splitlines()
    assert (dot[0], dot[-1]) == ("digraph program {", "}")
    assert dot[1] == r'  t0 [shape=ellipse, label="x\"<1>\n2 x 4 x 4\nunsigned8"];'
    assert '  o0 [shape=box, label="conv\\nconv 3 x 3 / 2 signed3"];' in dot
    assert len(dot) == 2 + len(program.tensors) + len(program.ops) + edges
    assert main(["show", str(path), "--graph", "mermaid"]) == 0
    mermaid = capsys.readouterr().out.splitlines()
    assert mermaid[:2] == ["flowchart TD", '  t0(["x#34;#60;1#62;<br/>2 x 4 x 4<br/>unsigned8"])']
    assert sum("-->" in line for line in mermaid) == edges


def test_a_graph_is_no_json(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Asking for both is misuse."""
    assert main(["show", str(path), "--graph", "dot", "--json"]) == 2
    assert "give --graph or --json, not both" in capsys.readouterr().err
