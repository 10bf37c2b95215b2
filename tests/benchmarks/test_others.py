"""The table of models that other tools have quantized: codes against the tools' own, refusals, and the page."""

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from benchmarks.others.__main__ import main
from benchmarks.others.apart import Distance, apart, table_of
from benchmarks.others.measure import measure
from benchmarks.others.references import reference_of
from benchmarks.others.table import markdown
from benchmarks.others.tiny import Autoencoder, DepthwiseSeparable, mobilenet_v1, speech

ROOT = Path(__file__).parents[2]


def write(path, scale=0.25, dtype=np.int8):
    """Write a quantized network of a convolution and a view; its last scale decides whether it is exact."""
    numbers = {"s": np.float32(0.5), "z": np.uint8(128), "w": np.array([[[[2]]], [[[7]]]], dtype),
               "t": np.float32(0.5), "none": np.array(0, dtype), "u": np.float32(scale), "v": np.uint8(3),
               "shape": np.int64([0, 8])}
    nodes = [helper.make_node(*each) for each in (
        ("QuantizeLinear", ["x", "s", "z"], ["a"]), ("DequantizeLinear", ["a", "s", "z"], ["b"]),
        ("DequantizeLinear", ["w", "t", "none"], ["weight"]), ("Conv", ["b", "weight"], ["c"]),
        ("Reshape", ["c", "shape"], ["d"]), ("QuantizeLinear", ["d", "u", "v"], ["e"]),
        ("DequantizeLinear", ["e", "u", "v"], ["y"]))]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [value("x", TensorProto.FLOAT, ["n", 1, 2, 2])],
                              [value("y", TensorProto.FLOAT, ["n", 8])],
                              [numpy_helper.from_array(np.asarray(array), name) for name, array in numbers.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)


def images(count=40):
    return np.random.default_rng(0).normal(0, 9, (count, 1, 2, 2)).astype(np.float32)


def test_a_row_counts_codes_that_are_not_onnx_runtimes(tmp_path):
    """With powers of two none differs; a factor of 2/3 cannot be met by 4 digits, but 8 come near enough."""
    write(tmp_path / "exact.onnx")
    exact = measure(tmp_path / "exact.onnx", images(), np.zeros(40, np.int64), "edge")
    assert (exact.nodes, exact.codes) == (7, 320)
    assert (exact.differing, exact.differing_precise, exact.model_differing) == (0, 0, 0)
    assert exact.reference.startswith("ONNX Runtime ")
    assert exact.left_out == []
    assert exact.accuracy == exact.accuracy_reference
    assert (exact.same_answers, exact.refused) == (1.0, {})
    write(tmp_path / "other.onnx", 0.375)
    other = measure(tmp_path / "other.onnx", images(), None, "edge")
    assert other.differing is not None
    assert (other.differing > 0, other.differing_precise, other.model_differing) == (True, 0, 0)
    assert (other.largest, other.accuracy) == (1, None)


def write_chain(path):
    """Write two layers: the first multiplies by what few digits do not hold, the second by 1."""
    numbers = {"s": np.float32(0.5), "z": np.uint8(128), "w": np.int8([[[[2]]], [[[7]]]]), "t": np.float32(0.5),
               "none": np.int8(0), "u": np.float32(0.375), "v": np.uint8(100), "sum": np.int8([[[[1]], [[1]]]]),
               "one": np.float32(1)}
    nodes = [helper.make_node(*each) for each in (
        ("QuantizeLinear", ["x", "s", "z"], ["a"]), ("DequantizeLinear", ["a", "s", "z"], ["b"]),
        ("DequantizeLinear", ["w", "t", "none"], ["weight"]), ("Conv", ["b", "weight"], ["c"]),
        ("QuantizeLinear", ["c", "u", "v"], ["d"]), ("DequantizeLinear", ["d", "u", "v"], ["e"]),
        ("DequantizeLinear", ["sum", "one", "none"], ["other"]), ("Conv", ["e", "other"], ["f"]),
        ("QuantizeLinear", ["f", "u", "v"], ["g"]), ("DequantizeLinear", ["g", "u", "v"], ["y"]))]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [value("x", TensorProto.FLOAT, ["n", 1, 2, 2])],
                              [value("y", TensorProto.FLOAT, ["n", 1, 2, 2])],
                              [numpy_helper.from_array(np.asarray(array), name) for name, array in numbers.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)


def test_an_op_alone_reads_what_the_model_has(tmp_path):
    """An exact op after an inexact one inherits differences, and makes none of the reference's own codes."""
    write_chain(tmp_path / "chain.onnx")
    rows = list(apart(tmp_path / "chain.onnx", images(), "edge"))
    (first, one, alone), (second, both, none) = rows
    assert (first, second) == ("d", "g")
    assert one == alone
    assert (one.share > 0, one.largest) == (True, 1.0)
    assert both.share > 0
    assert none == Distance(0.0, 0.0, 0.0)
    assert table_of(iter(rows[1:])).splitlines()[-1].endswith("| 0 % | 0 |")


def test_a_refused_model_has_its_reasons(tmp_path):
    """Reasons are counted without the places that they are about."""
    write(tmp_path / "w.onnx", dtype=np.int16)
    model = onnx.load(tmp_path / "w.onnx")
    model.graph.initializer[2].CopyFrom(numpy_helper.from_array(np.array([[[[300]]], [[[1]]]], np.int16), "w"))
    onnx.save(model, tmp_path / "w.onnx")
    row = measure(tmp_path / "w.onnx", images(), None, "edge")
    assert row.refused == {"the weights of Conv reach from 1 to 300 steps, which takes 10 bits; the machine's have at "
                           "most 8": 1}
    assert (row.codes, row.cycles) == (0, None)


class Rounding(torch.nn.Module):
    """Rounds as PT2E has it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        codes = torch.ops.quantized_decomposed.quantize_per_tensor(2 * x, 0.5, 3, 0, 255, torch.uint8)
        return torch.ops.quantized_decomposed.dequantize_per_tensor(codes, 0.5, 3, 0, 255, torch.uint8)


def test_the_reference_of_an_exported_program_is_torch(tmp_path):
    """Codes have the names of the program's nodes."""
    import_module("torch.ao.quantization.fx._decomposed")  # registers the operators
    x = torch.tensor([[1.0, -0.3], [0.2, 5.0]])
    torch.export.save(torch.export.export(Rounding(), (x,)), tmp_path / "m.pt2")
    reference = reference_of(tmp_path / "m.pt2")
    made, codes = reference.run(x.numpy(), ["quantize_per_tensor", "none"])
    assert reference.title == f"torch {torch.__version__}"
    assert {name: array.tolist() for name, array in codes.items()} == {"quantize_per_tensor": [[7, 2], [4, 23]]}
    assert made.tolist() == [[2.0, -0.5], [0.5, 10.0]]


def test_rows_that_are_there_are_kept(tmp_path, capsys):
    """A file without images is passed over, and a second run measures what is new alone."""
    for name in ("a", "b", "alone"):
        write(tmp_path / f"{name}.onnx")
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", x=images())
    out = tmp_path / "rows.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["others", "measure", str(tmp_path), "--out", str(out), "--only", "b.onnx"])
        assert main() == 0
        patch.setattr("sys.argv", ["others", "measure", str(tmp_path), "--out", str(out)])
        assert main() == 0
    assert capsys.readouterr().err.count("onnx") == 2
    assert [row["file"] for row in json.loads(out.read_text())["models"]] == ["a.onnx", "b.onnx"]


def test_networks_have_the_shapes_of_mlperf_tiny():
    """Keyword spotting has 25 x 5 places after its first layer, and no split of its chirps repeats another."""
    model = DepthwiseSeparable().eval()
    assert model.stem(torch.zeros(2, 1, 49, 10)).shape == (2, 64, 25, 5)
    assert model(torch.zeros(2, 1, 49, 10)).shape == (2, 12)
    assert mobilenet_v1().eval()(torch.zeros(1, 3, 96, 96)).shape == (1, 2)
    assert Autoencoder().eval()(torch.zeros(2, 640)).shape == (2, 640)
    one, again, other = speech(24, 0), speech(24, 0), speech(24, 1)
    assert torch.equal(one.stored, again.stored)
    assert not torch.equal(one.stored, other.stored)
    assert one.labels.bincount().tolist() == [2] * 12


def test_the_page_shows_the_table_of_the_results():
    """The page of models in and out holds the rows of the JSON file."""
    found = json.loads((ROOT / "benchmarks" / "results" / "interop.json").read_text())
    _, shown = (ROOT / "docs" / "interop.md").read_text().split("<!-- python -m benchmarks.others measure -->\n")
    assert shown.split("<!-- end of the table -->")[0] == markdown(found["models"], found["machine"])
