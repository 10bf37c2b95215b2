"""The target that reads networks of other tools: ONNX files."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

from bitwright.fuzz.messages import change_message
from bitwright.fuzz.mutations import changed_bytes
from bitwright.fuzz.target import Target
from quant.frontends.onnx.convert import read_onnx
from quant.graph.interpret import shapes
from quant.graph.ops.operator import Unknown

__all__ = ["OnnxModels"]

BESIDE = "weights.bin"


class OnnxModels(Target):
    """Small networks as ONNX files: shapes that are computed, inner graphs, functions, numbers in another file."""

    name = "onnx"

    def prepare(self, folder: Path) -> None:
        (folder / BESIDE).write_bytes(np.arange(36, dtype=np.float32).tobytes())
        (folder / "link.bin").symlink_to("/etc/passwd")
        self._corpus = [model.SerializeToString() for model in (_network(), _functions(), _quantized(), _moved())]
        for number, data in enumerate(self._corpus):
            (folder / f"seed{number}.onnx").write_bytes(data)
            self.read(folder / f"seed{number}.onnx")

    def make(self, random: Random) -> bytes:
        data = random.choice(self._corpus)
        if random.random() < 0.25:
            return changed_bytes(random, data, self._corpus)
        model = ModelProto.FromString(data)
        change_message(random, model)
        return changed_bytes(random, model.SerializeToString()) if random.random() < 0.05 else model.SerializeToString()

    def read(self, path: Path) -> None:
        graph = read_onnx(path)
        if not any(isinstance(node.operator, Unknown) for node in graph.nodes):
            shapes(graph)


def _network() -> ModelProto:
    """Make convolutions, pools, a flattening by computed shapes, a branch, and weights beside the file."""
    rng = np.random.default_rng(0)
    weights: dict[str, NDArray[Any]] = {
        "conv.weight": rng.normal(size=(4, 3, 3, 3)).astype(np.float32), "conv.bias": np.ones(4, np.float32),
        "norm": np.ones(4, np.float32), "zero": np.zeros(1, np.int64), "rest": np.array([-1], np.int64),
        "low": np.array(0, np.float32), "high": np.array(6, np.float32)}
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    beside = TensorProto(name="fc.weight", data_type=TensorProto.FLOAT, dims=(2, 18),
                         data_location=TensorProto.EXTERNAL)
    for key, text in (("location", BESIDE), ("offset", "0"), ("length", "144")):
        beside.external_data.add(key=key, value=text)
    kept = helper.make_graph([helper.make_node("Identity", ["flat"], ["kept"])], "kept", [], [_value("kept", None)])
    left = helper.make_graph([helper.make_node("Neg", ["flat"], ["left"])], "left", [], [_value("left", None)])
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["c"], "first", pads=[1] * 4, strides=[2, 2]),
        helper.make_node("BatchNormalization", ["c", "norm", "norm", "norm", "norm"], ["n"], epsilon=1e-3),
        helper.make_node("Clip", ["n", "low", "high"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["m"], kernel_shape=[2, 2], strides=[1, 2], ceil_mode=1),
        helper.make_node("Slice", ["m", "zero", "three", "axis"], ["s"]),
        helper.make_node("Constant", [], ["three"], value=numpy_helper.from_array(np.array([3], np.int64))),
        helper.make_node("Constant", [], ["axis"], value_ints=[1]),
        helper.make_node("Shape", ["s"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["batch"]),
        helper.make_node("Concat", ["batch", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["s", "target"], ["flat"]),
        helper.make_node("Equal", ["zero", "zero"], ["same"]),
        helper.make_node("If", ["same"], ["chosen"], then_branch=kept, else_branch=left),
        helper.make_node("Gemm", ["chosen", "fc.weight"], ["logits"], transB=1, alpha=0.5),
        helper.make_node("Softmax", ["logits"], ["y"], axis=1)]
    nodes[4:7] = [*nodes[5:7], nodes[4]]
    graph = helper.make_graph(nodes, "g", [_value("x", ["N", 3, 8, 8])], [_value("y", None)],
                              [*initializers, beside])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def _functions() -> ModelProto:
    """Make a network of sequences that calls a function of its own, which calls another."""
    inner = helper.make_function("own", "Scaled", ["a"], ["b"], [
        helper.make_node("HardSwish", ["a"], ["h"]), helper.make_node("Mul", ["h", "h"], ["b"])],
        [helper.make_opsetid("", 18)])
    leaky = helper.make_node("LeakyRelu", ["t"], ["b"])
    leaky.attribute.add(name="alpha", type=AttributeProto.FLOAT, ref_attr_name="slope")
    outer = helper.make_function("own", "Block", ["a"], ["b"], [
        helper.make_node("Scaled", ["a"], ["t"], domain="own"), leaky],
        [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)], ["slope"])
    steps = numpy_helper.from_array(np.array([2], np.int64), "axes")
    weight = numpy_helper.from_array(np.ones((5, 7), np.float32), "w")
    nodes = [helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
             helper.make_node("Block", ["t"], ["f"], domain="own", slope=0.25),
             helper.make_node("MatMul", ["f", "w"], ["m"]),
             helper.make_node("Split", ["m"], ["p", "q"], axis=1, num_outputs=2),
             helper.make_node("Concat", ["q", "p"], ["j"], axis=-1),
             helper.make_node("ReduceMean", ["j", "axes"], ["y"])]
    graph = helper.make_graph(nodes, "g", [_value("x", [1, 5, 6])], [_value("y", None)], [steps, weight])
    return helper.make_model(graph, functions=[inner, outer], ir_version=9,
                             opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("own", 1)])


def _quantized() -> ModelProto:
    """Make quantized layers of three kinds."""
    values: dict[str, NDArray[Any]] = {
        "s": np.array(0.5, np.float32), "z": np.array(3, np.uint8), "w": np.ones((2, 1, 2, 2), np.int8),
        "sw": np.array([0.5, 0.25], np.float32), "zz": np.zeros(2, np.int8), "b": np.ones(2, np.int32),
        "bits": np.array(4, np.float32), "zf": np.array(0, np.float32)}
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
             helper.make_node("QLinearConv", ["q", "s", "z", "w", "sw", "zz", "s", "z", "b"], ["c"]),
             helper.make_node("DequantizeLinear", ["c", "s", "z"], ["d"]),
             helper.make_node("Quant", ["d", "s", "zf", "bits"], ["f"], domain="qonnx.custom_op.general", signed=1,
                              narrow=0, rounding_mode="ROUND"),
             helper.make_node("BipolarQuant", ["f", "s"], ["y"], domain="qonnx.custom_op.general")]
    graph = helper.make_graph(nodes, "g", [_value("x", [None, 1, 4, 4])], [_value("y", None)],
                              [numpy_helper.from_array(value, name) for name, value in values.items()])
    return helper.make_model(graph, ir_version=7, opset_imports=[
        helper.make_opsetid("", 13), helper.make_opsetid("qonnx.custom_op.general", 1)])


def _moved() -> ModelProto:
    """Make a network of what moves, scales and spreads numbers."""
    values: dict[str, NDArray[Any]] = {
        "scales": np.array([1, 1, 2, 2], np.float32), "pads": np.array([0, 0, 1, 0, 0, 0, 0, 1], np.int64),
        "w": np.ones((4, 2, 2, 2), np.float32), "shape": np.array([1, 4, 5, 5], np.int64),
        "repeats": np.array([1, 1, 2, 1], np.int64), "one": np.array([1], np.int64), "axes": np.array([3], np.int64),
        "last": np.array(-1, np.int64), "wide": np.ones((10, 3), np.float32), "b": np.ones((1, 3), np.float32)}
    nodes = [helper.make_node("Resize", ["x", "", "scales"], ["r"], mode="nearest"),
             helper.make_node("Pad", ["r", "pads"], ["p"], mode="reflect"),
             helper.make_node("AveragePool", ["p"], ["a"], kernel_shape=[2, 2], ceil_mode=1, auto_pad="SAME_UPPER"),
             helper.make_node("SpaceToDepth", ["r"], ["d"], blocksize=2),
             helper.make_node("ConvTranspose", ["d", "w"], ["c"], strides=[2, 2], output_shape=[5, 5]),
             helper.make_node("Slice", ["a", "zero4", "five", "axes23", "ones"], ["t"]),
             helper.make_node("Concat", ["c", "c"], ["j"], axis=1), helper.make_node("Expand", ["j", "shape"], ["e"]),
             helper.make_node("PRelu", ["e", "slope"], ["l"]), helper.make_node("Tile", ["l", "repeats"], ["i"]),
             helper.make_node("ReduceMax", ["i"], ["m"], axes=[1, -1], keepdims=1),
             helper.make_node("Squeeze", ["m", "axes"], ["s"]), helper.make_node("Flatten", ["s"], ["f"]),
             helper.make_node("Gemm", ["f", "wide", "b"], ["g"], beta=2.0),
             helper.make_node("Gather", ["g", "last"], ["h"], axis=1),
             helper.make_node("ArgMax", ["g"], ["y"], axis=1, keepdims=0),
             helper.make_node("Max", ["t", "low", "t"], ["z"])]
    values |= {"zero4": np.zeros(2, np.int64), "five": np.array([5, 5], np.int64), "axes23": np.array([2, 3], np.int64),
               "ones": np.ones(2, np.int64), "slope": np.ones((4, 1, 1), np.float32), "low": np.array(0, np.float32)}
    graph = helper.make_graph(nodes, "g", [_value("x", [1, 1, 4, 4])], [_value(name, None) for name in "yzh"],
                              [numpy_helper.from_array(value, name) for name, value in values.items()])
    return helper.make_model(graph, ir_version=7, opset_imports=[helper.make_opsetid("", 13)])


def _value(name: str, shape: list[int | str | None] | None) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
