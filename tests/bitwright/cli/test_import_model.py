"""`bitwright import` makes Programs of quantized models, says where codes differ, and refuses what it cannot take."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from bitwright.cli.app import main
from bitwright.codesign.import_model import import_model, parse_input_codes
from bitwright.codesign.real_inputs import load_inputs
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.serialize import load_program

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command; exit status, stdout and stderr."""
    def run(*arguments: object) -> tuple[int, str, str]:
        status = main([str(argument) for argument in arguments])
        return status, *capfd.readouterr()
    return run


def model(scale: float, *, quantized_input: bool = True) -> onnx.ModelProto:
    """Return relu(4 * x) of numbers as codes."""
    numbers: dict[str, Any] = {"s": np.float32(0.5), "z": np.uint8(8), "t": np.float32(scale), "o": np.uint8(0),
                               "w": np.int8([[[[4]]]]), "one": np.float32(1), "none": np.int8(0)}
    first = ([helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
              helper.make_node("DequantizeLinear", ["q", "s", "z"], ["v"])] if quantized_input else
             [helper.make_node("Identity", ["x"], ["v"])])
    nodes = [*first, helper.make_node("DequantizeLinear", ["w", "one", "none"], ["weight"]),
             helper.make_node("Conv", ["v", "weight"], ["c"]), helper.make_node("Relu", ["c"], ["r"]),
             helper.make_node("QuantizeLinear", ["r", "t", "o"], ["codes"]),
             helper.make_node("DequantizeLinear", ["codes", "t", "o"], ["y"])]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "net", [value("x", TensorProto.FLOAT, ["n", 1, 2, 3])],
                              [value("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(np.asarray(array), name) for name, array in numbers.items()])
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    onnx.save(model(0.25), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def test_the_program_has_the_codes_of_the_model(run: Run, path: Path, tmp_path: Path) -> None:
    """What is written computes what the model says, and the summary tells its formats and that nothing differs."""
    x = np.float32([[[[-9, -4.1, 0.2], [1.26, 3.1, 90]]]])
    np.savez(tmp_path / "x.npz", x=x)
    status, out, _ = run("import", path, "-o", tmp_path / "out", "--data", tmp_path / "x.npz", "--json")
    summary = json.loads(out)
    assert status == 0
    assert (summary["exact"], summary["rounding"]) == (True, "half_even")
    assert [(row["codes"], row["differing"]) for row in summary["tensors"]] == [(6, 0)]
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["tensors"] == summary["tensors"]
    program = load_program(tmp_path / "out" / "program.safetensors")
    (source,), (target,) = program.inputs, program.outputs
    codes = np.clip(np.rint(x / 0.5) + 8, 0, 255).astype(np.int32)
    expected = np.clip(np.rint(np.maximum(4 * 0.5 * (codes - 8), 0) / 0.25), 0, 255)
    np.testing.assert_array_equal(simulate(program, {source.name: codes})[target.name], expected)


def test_codes_may_have_the_models_name(run: Run, path: Path, tmp_path: Path) -> None:
    """The Program's input is called after a quantizer; the summary says which input of the model that is."""
    assert run("import", path, "-o", tmp_path / "out")[0] == 0
    program = tmp_path / "out" / "program.safetensors"
    (described,) = json.loads((tmp_path / "out" / "summary.json").read_text())["inputs"]
    assert described == {"name": "q", "input": "x", "image": [1, 2, 3], "shape": [1, 2, 3], "format": "unsigned8 z=8",
                         "scale": 0.5}
    codes = np.arange(6, dtype=np.uint8).reshape(1, 1, 2, 3)
    for name in ("x", "q"):
        np.savez(tmp_path / "in.npz", **{name: codes})
        status, _, error = run("simulate", program, "--input", tmp_path / "in.npz", "--out", tmp_path / f"{name}.npz")
        assert (status, error.startswith("wrote")) == (0, True)
    with np.load(tmp_path / "x.npz") as one, np.load(tmp_path / "q.npz") as other:
        assert all(np.array_equal(one[key], other[key]) for key in other)


def test_an_exported_program_is_no_model_to_import(run: Run, path: Path, tmp_path: Path) -> None:
    """It was a Program before; and a model in the place of a Program is said to be one."""
    assert run("import", path, "-o", tmp_path / "out")[0] == 0
    program, exported = tmp_path / "out" / "program.safetensors", tmp_path / "exported.onnx"
    assert run("export", program, exported)[0] == 0
    with pytest.raises(InputError, match=r"^'.*/exported.onnx' is written by `bitwright export`; take the Program of "
                                         r"which it was made$"):
        import_model(exported, "tiny")
    for words in (["show", exported], ["diff", program, exported], ["simulate", path], ["vectors", path, "-o", "v"]):
        status, _, error = run(*words)
        assert status == 2
        assert "is a model, not a Program;" in " ".join(error.replace("│", "").split())


def test_random_inputs_reach_all_codes(run: Run, path: Path, tmp_path: Path) -> None:
    """Without data inputs are random, and the table says on how many."""
    status, out, _ = run("import", path, "-o", tmp_path / "out", "--images", "5")
    assert status == 0
    assert "compared with the model on 5 random inputs" in " ".join(out.split())
    assert "every code is the model's" in out


def test_differing_codes_are_said(run: Run, tmp_path: Path) -> None:
    """A scale that no few digits hold leaves differing codes, whose share is in the table and in the summary."""
    onnx.save(model(0.3), tmp_path / "net.onnx")
    machine = tmp_path / "coarse.yaml"
    tiny = Path(__file__).parents[3] / "sim/arch/machines/tiny.yaml"
    machine.write_text(tiny.read_text().replace("terms: 4", "terms: 1"))
    status, out, _ = run("import", tmp_path / "net.onnx", "-o", tmp_path / "out", "-m", machine, "--json")
    summary = json.loads(out)
    assert status == 0
    assert not summary["exact"]
    assert summary["tensors"][0]["differing"] > 0


def test_an_input_can_be_described(run: Run, tmp_path: Path) -> None:
    """A model without a quantizer of its input is refused until the user says what the host's codes mean."""
    onnx.save(model(0.25, quantized_input=False), tmp_path / "net.onnx")
    status, _, error = run("import", tmp_path / "net.onnx", "-o", tmp_path / "out")
    assert status != 0
    assert "the model has no quantizer for its input 'x'; say how the host gives it" in error
    assert not (tmp_path / "out").exists()
    assert run("import", tmp_path / "net.onnx", "-o", tmp_path / "out", "--input-codes", "signed:6:-2")[0] == 0


def test_float_models_and_other_files_are_refused(run: Run, tmp_path: Path) -> None:
    """A float model is sent to quantize; a file of another kind is named."""
    program = torch.export.export(torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1)), (torch.zeros(2, 1, 2, 2),))
    torch.export.save(program, tmp_path / "float.pt2")
    with pytest.raises(InputError, match=r"^'.*/float.pt2' is a float model; `bitwright quantize` takes it and makes a "
                                         r"Program$"):
        import_model(tmp_path / "float.pt2", "tiny")
    with pytest.raises(InputError, match=r"^a model's file must be \*.onnx or \*.pt2, not 'net.tflite'$"):
        import_model("net.tflite", "tiny")
    assert run("import", tmp_path / "missing.onnx", "-o", tmp_path / "out")[0] != 0


@pytest.mark.parametrize(("text", "sentence"), [
    ("signed:8", r"an input must be described as signed:BITS:EXPONENT or unsigned:BITS:EXPONENT, not 'signed:8'"),
    ("bipolar:1:0", r"an input must be described as signed:BITS:EXPONENT or unsigned:BITS:EXPONENT, not 'bipolar:1:0'"),
    ("signed:x:0", r"bits and exponent of an input must be whole numbers, not 'x:0'"),
    ("signed:9:0", r"an input must have 1 to 8 bits, not 9"),
    ("signed:8:99", r"the exponent of an input must be in -64..64, not 99"),
    ("signed:1:0", r"input_format of 1 bit must be unsigned"),
])
def test_descriptions_of_inputs_that_cannot_be(text: str, sentence: str) -> None:
    """Each refusal is one sentence."""
    with pytest.raises(InputError, match=f"^{sentence}$"):
        parse_input_codes(text)


def test_files_of_inputs_that_cannot_be(tmp_path: Path) -> None:
    """Wrong names, types and numbers are refused, each with what came."""
    np.savez(tmp_path / "a.npz", y=np.zeros(3))
    np.save(tmp_path / "b.npy", np.array(["x"]))
    np.save(tmp_path / "c.npy", np.array([np.inf]))
    (tmp_path / "d.npy").write_bytes(b"nothing")
    reasons = {"a.npz": "it must hold the arrays x, not y", "b.npy": "'x' must hold numbers, not <U1",
               "c.npy": "'x' must hold finite numbers", "d.npy": "it is no .npz or .npy file of numbers: .*"}
    for name, reason in reasons.items():
        with pytest.raises(InputError, match=rf"^cannot read inputs '.*/{name}': {reason}$"):
            load_inputs(tmp_path / name, ["x"])
    np.save(tmp_path / "e.npy", np.array([[1, 2]]))
    assert load_inputs(tmp_path / "e.npy", ["x"])["x"].tolist() == [[1.0, 2.0]]
