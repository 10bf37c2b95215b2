"""The table of other tools' models says how far each comes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.interop import markdown, row_of


def write(path: Path, activation: str) -> None:
    """Write a linear layer and what follows it."""
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "fc.weight"], ["a"], transB=1), helper.make_node(activation, ["a"], ["b"]),
         helper.make_node("Gemm", ["b", "fc.weight"], ["y"], transB=1)], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32), "fc.weight")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def test_a_row_says_how_far_a_model_comes(tmp_path: Path) -> None:
    """One goes the whole way, one is only read, one has an unknown operator, one is no model."""
    for name in ("Relu", "Softmax", "Hardmax"):
        write(tmp_path / f"{name}.onnx", name)
    (tmp_path / "none.onnx").write_bytes(b"x")
    relu, softmax, hardmax, none = (row_of(tmp_path / f"{name}.onnx", None, "edge") for name in (
        "Relu", "Softmax", "Hardmax", "none"))
    assert (relu.nodes, relu.refused) == (3, {})
    assert relu.distance is not None
    assert relu.distance < 1e-5
    assert relu.cycles is not None
    assert relu.cycles > 100
    assert (softmax.nodes, softmax.cycles) == (3, None)
    assert softmax.distance is not None
    assert softmax.distance < 1e-5
    assert softmax.refused == {"is computed by the host, and so only at the end": 1}
    assert (hardmax.nodes, hardmax.distance, hardmax.refused) == (3, None, {"unsupported operator Hardmax node 'b'": 1})
    assert none.nodes is None
    lines = markdown([relu, softmax, hardmax, none], "edge").splitlines()
    assert lines[2].startswith("| Relu.onnx | 3 | ")
    assert lines[2].endswith(f" | {relu.cycles:,} |  |")
    assert lines[5].startswith("| none.onnx |  |  |  |  | 1 × ")


def test_a_quantized_model_shows_how_many_codes_differ(tmp_path: Path) -> None:
    """Its weights are codes already: all that is left is the share of stored codes that are not the model's."""
    numbers = {"w": np.int8([[3, -5, 7, 1]] * 4), "s": np.float32(0.5), "none": np.int8(0), "t": np.float32(0.25),
               "z": np.uint8(10)}
    nodes = [helper.make_node("DequantizeLinear", ["w", "s", "none"], ["weight"]),
             helper.make_node("Gemm", ["x", "weight"], ["a"], transB=1),
             helper.make_node("QuantizeLinear", ["a", "t", "z"], ["q"]),
             helper.make_node("DequantizeLinear", ["q", "t", "z"], ["y"])]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [value("x", TensorProto.FLOAT, [1, 4])],
                              [value("y", TensorProto.FLOAT, [1, 4])],
                              [numpy_helper.from_array(np.asarray(array), name) for name, array in numbers.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "q.onnx")
    row = row_of(tmp_path / "q.onnx", None, "edge")
    assert (row.differing, row.refused) == (0.0, {})
    assert row.cycles is not None
    assert f" | 0 % | {row.cycles:,} | " in markdown([row], "edge")
