"""ONNX models become typed graphs: where the batch goes, what layers are called, and every refusal with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from quant.frontends.onnx import folding
from quant.frontends.onnx.convert import graph_of_model, read_onnx
from quant.graph.graph import Graph
from quant.graph.interpret import run, shapes
from quant.graph.ops.operator import Unknown
from quant.graph.ops.views import Resize
from quant.graph.reasons import NEIGHBOURS, OWN_SUMS
from sim.errors import InputError

Shape = list[Any] | None


def make(*nodes: NodeProto, weights: dict[str, Any] | None = None, opset: int = 13,
         inputs: dict[str, Shape] | None = None, outputs: tuple[str, ...] = ("y",), kind: int = TensorProto.FLOAT,
         domains: tuple[str, ...] = ()) -> ModelProto:
    """Return a model; its input is x of shape (N, 4) unless others are given."""
    graph = helper.make_graph(
        list(nodes), "g", [helper.make_tensor_value_info(name, kind, shape)
                           for name, shape in (inputs or {"x": ["N", 4]}).items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()])
    return helper.make_model(graph, ir_version=8, opset_imports=[
        helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)])


def node(operator: str, source: str, target: str = "y", name: str = "", **attributes: Any) -> NodeProto:
    """Return a node; sources are separated by spaces."""
    return helper.make_node(operator, source.split(), target.split(), name, **attributes)


def refused(graph: Graph) -> list[tuple[str, str, str]]:
    """Return kind, reason and place of every unknown operator."""
    return [*dict.fromkeys((one.operator.kind, one.operator.reason, one.place) for one in graph.nodes
                           if isinstance(one.operator, Unknown))]


def assert_equals_onnxruntime(model: ModelProto, *shapes_: tuple[int, ...]) -> Graph:
    """Check that the typed graph computes what ONNX Runtime does, and return it."""
    rng = np.random.default_rng(0)
    feeds = {given.name: rng.normal(size=shape).astype(np.float32)
             for given, shape in zip(model.graph.input, shapes_, strict=True)}
    wanted = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)
    graph = graph_of_model(model)
    assert refused(graph) == []
    values = run(graph, {name: torch.from_numpy(array) for name, array in feeds.items()})
    for name, array in zip(graph.outputs, wanted, strict=True):
        np.testing.assert_allclose(values[name].numpy(), array, rtol=1e-4, atol=1e-5)
    return graph


I64 = np.int64


@pytest.mark.parametrize("batch", ["N", 2])
def test_a_shape_that_the_model_computes_keeps_the_batch(batch: str | int) -> None:
    """Shape, Gather and Concat before a Reshape are folded, whether the source fixed the batch or not."""
    model = make(node("Shape", "x", "s"), node("Gather", "s zero", "n", axis=0), node("Unsqueeze", "n zeros", "u"),
                 node("Concat", "u rest", "target", axis=0), node("Reshape", "x target"),
                 weights={"zero": I64(0), "zeros": I64([0]), "rest": I64([3, -1])}, inputs={"x": [batch, 6, 2]})
    graph = assert_equals_onnxruntime(model, (2, 6, 2))
    assert [one.output for one in graph.nodes] == ["y"]
    assert shapes(graph)["y"] == (3, 4)


@pytest.mark.parametrize(("declared", "target", "shape"), [
    ("N", [0, -1], (8,)), ("N", [-1, 8], (8,)), ("N", [-1, 2, 4], (2, 4)), ("N", [1, 8], (8,)), (5, [5, 8], (8,)),
    (5, [5, -1, 2], (4, 2)), (1, [1, -1], (8,)), ("N", [0, 0, 4], (2, 4)), ("N", [0, 0, 2, 2], (2, 2, 2))])
def test_reshapes_keep_images_apart(declared: str | int, target: list[int], shape: tuple[int, ...]) -> None:
    """Zeros, the size that the source fixed, and -1 stand for the batch."""
    graph = graph_of_model(make(node("Reshape", "x t"), weights={"t": I64(target)}, inputs={"x": [declared, 2, 4]}))
    assert shapes(graph)["y"] == shape


MIXES = "it mixes the images of a batch"


@pytest.mark.parametrize(("model", "reason"), [
    (make(node("Reshape", "x t"), weights={"t": I64([-1, 2])}), MIXES),
    (make(node("Reshape", "x t"), weights={"t": I64([1, -1])}), MIXES),
    (make(node("Reshape", "x t"), weights={"t": I64([4, -1])}), MIXES),
    (make(node("Reshape", "x t"), weights={"t": I64([0, 0, 0, 4])}), "its shape keeps an axis that there is not"),
    (make(node("Reshape", "x t"), weights={"t": I64([-1, -1])}), "its shape must be sizes, one of which may be -1"),
    (make(node("Flatten", "x", axis=0)), MIXES),
    (make(node("Transpose", "x")), MIXES),
    (make(node("Transpose", "x", perm=[0, 0])), "perm must have every axis of 2 once"),
    (make(node("Squeeze", "x"), inputs={"x": [1, 1, 4]}), f"{MIXES}: give it the axes that it takes out"),
    (make(node("Squeeze", "x one"), weights={"one": I64([1])}), "an axis that is taken out must have size 1"),
    (make(node("Unsqueeze", "x zero"), weights={"zero": I64([0])}), MIXES),
    (make(node("Softmax", "x", axis=0)), MIXES),
    (make(node("ReduceMean", "x")), MIXES),
    (make(node("Concat", "x x", axis=0)), MIXES),
    (make(node("Concat", "x w", axis=1), weights={"w": np.float32([[1]])}), "it joins a constant to every image"),
    (make(node("Slice", "x one two zero"), weights={"one": I64([1]), "two": I64([2]), "zero": I64([0])}), MIXES),
    (make(node("Slice", "x two two one"), weights={"one": I64([1]), "two": I64([2])}), "it takes nothing"),
    (make(node("Gather", "x i"), weights={"i": I64([0])}), MIXES),
    (make(node("Gather", "x i", axis=1), weights={"i": I64([4])}), "places that it takes must be in -4..3, not 4"),
    (make(node("Gather", "w x"), weights={"w": np.float32([1])}), "what it takes must be constant"),
    (make(node("Add", "x w"), weights={"w": np.ones((3, 4), np.float32)}), MIXES),
    (make(node("Add", "x w"), weights={"w": np.ones((2, 1, 4), np.float32)}), MIXES),
    (make(node("Add", "x w"), weights={"w": np.ones(3, np.float32)}),
     "values of shapes (4,) and (3,) do not fit together"),
    (make(node("MatMul", "w x"), weights={"w": np.ones((4, 4), np.float32)}), MIXES),
    (make(node("MatMul", "x x")), MIXES),
    (make(node("Gemm", "x w", transA=1), weights={"w": np.ones((4, 4), np.float32)}), MIXES),
    (make(node("Gemm", "x w b"), weights={"w": np.ones((4, 3), np.float32), "b": np.ones((4, 3), np.float32)}),
     "its bias must be one number for each of 3 outputs, not of shape (4, 3)"),
    (make(node("ConvTranspose", "x w"), weights={"w": np.ones((4, 1, 2, 2), np.float32)}),
     "a kernel of 2 axes reads a value of 2"),
    (make(node("Conv", "x w"), weights={"w": np.ones((4, 1, 2, 2), np.float32)}),
     "a kernel of 2 axes reads a value of 2"),
    (make(node("Dropout", "x", "y mask"), outputs=("y", "mask")), "its mask is not computed"),
    (make(node("Dropout", "x r t"), weights={"r": np.float32(0.5), "t": np.bool_(1)}), "it is in training mode"),
    (make(node("Cast", "x", to=TensorProto.INT64)), "a value that depends on the input cannot become INT64"),
    (make(node("Add", "x x"), kind=TensorProto.UINT8),
     "integers that depend on the input must become floats before arithmetic"),
    (make(node("Where", "c x x"), weights={"c": np.ones((3, 4), bool)}), MIXES),
    (make(node("Swish", "x", alpha=2.0), opset=24), "alpha must be 1, not 2"),
    (make(node("Einsum", "x w", equation="bi,io->ob"), weights={"w": np.ones((4, 4), np.float32)}), MIXES),
    (make(node("LRN", "x", size=3)), NEIGHBOURS),
    (make(node("ArgMax", "x", axis=1, select_last_index=1)), "select_last_index is not computed"),
    (make(node("Expand", "x t"), weights={"t": I64([3, 4])}), MIXES),
    (make(node("Expand", "x t"), weights={"t": I64([1, 8])}), "an image of shape (4,) cannot become (8,)"),
    (make(node("Tile", "x t"), weights={"t": I64([2, 1])}), MIXES),
    (make(node("Pad", "x t"), weights={"t": I64([1, 0, 0, 0])}), MIXES),
    (make(node("CumSum", "x a"), weights={"a": I64(1)}), ""),
    (make(node("LpNormalization", "x")), OWN_SUMS),
    (make(node("Anything", "x", domain="own"), domains=("own",)), ""),
])
def test_what_has_no_counterpart_is_unknown(model: ModelProto, reason: str) -> None:
    """The node keeps its name in ONNX, and says why."""
    assert refused(graph_of_model(model)) == [(model.graph.node[0].op_type, reason, "node 'y'")]


def test_all_refusals_are_found_at_once() -> None:
    """Shapes that ONNX infers let what follows be read; what cannot be read for want of a shape is no refusal."""
    graph = graph_of_model(make(
        node("LpNormalization", "x", "a", "first"), node("Cast", "a", "b", to=7), node("Relu", "b", "c"),
        node("Own", "c", "d", "second", domain="own"), node("Relu", "d", "e"), node("Flatten", "e", "f"),
        node("TopK", "x k", "g i"), node("Add", "f g"), weights={"k": I64([2])}, domains=("own",)))
    assert [(kind, place) for kind, _, place in refused(graph)] == [
        ("LpNormalization", "node 'first'"), ("Cast", "node 'b'"), ("Own", "node 'second'"), ("TopK", "node 'g'")]
    assert [one.operator.title for one in graph.nodes] == ["LpNormalization", "Cast", "Clip", "Own", "TopK"]
    with pytest.raises(InputError, match=f"^unsupported operator LpNormalization: {OWN_SUMS} node 'first'$"):
        run(graph, {"x": torch.ones(2, 4)})


def test_constants_may_come_before_values() -> None:
    """A maximum of several may begin with constants; weights of codes may be scaled."""
    weights = {"a": np.float32([1, -1, 0, 0]), "b": np.float32([[0, 0, 0, 2]])}
    assert_equals_onnxruntime(make(node("Max", "a b x"), weights=weights), (2, 4))
    assert_equals_onnxruntime(make(node("DequantizeLinear", "q s", "d"), node("Mul", "d d", "e"), node("MatMul", "x e"),
                                   weights={"q": np.int8([[1, 2], [3, 4], [5, 6], [-7, 8]]), "s": np.float32(0.5)}),
                              (2, 4))


def test_what_leads_nowhere_is_left_out() -> None:
    """Neither operators nor refusals of dead branches are in the graph."""
    graph = graph_of_model(make(node("Relu", "x"), node("LpNormalization", "x", "dead"), node("Neg", "dead", "deader")))
    assert [one.operator.title for one in graph.nodes] == ["Clip"]


def test_what_nothing_reads_is_left_out() -> None:
    """A further output, such as a Dropout's mask, keeps no model out that does not read it."""
    model = make(node("Dropout", "x", "d mask"), node("MaxPool", "d", "p places", kernel_shape=[2, 2]),
                 node("Relu", "p"), inputs={"x": ["N", 3, 4, 4]})
    graph = graph_of_model(model, (3, 4, 4))
    assert not refused(graph)
    used = make(node("Dropout", "x", "d mask"), node("Cast", "mask", "m", to=TensorProto.FLOAT), node("Add", "d m"))
    assert refused(graph_of_model(used)) == [("Dropout", "its mask is not computed", "node 'd'")]


def test_layers_have_the_names_of_their_weights() -> None:
    """Paths of modules where weights tell them, also through transpositions; else names of nodes; else of values."""
    weights = {"net.0.weight": np.ones((2, 3, 1, 1), np.float32), "net.1.weight": np.ones((2, 5), np.float32),
               "w": np.ones((5, 5), np.float32)}
    graph = graph_of_model(make(
        node("Conv", "x net.0.weight", "c", "/conv"), node("GlobalAveragePool", "c", "p", "/pool"),
        node("Flatten", "p", "f"), node("Identity", "net.1.weight", "i"), node("MatMul", "f i", "m"),
        node("MatMul", "m w"), weights=weights, inputs={"x": ["N", 3, 4, 4]}))
    assert [one.name for one in graph.nodes] == ["net.0", "/pool", "f", "net.1", "y"]
    assert [one.place for one in graph.nodes] == [f"node '{name}'" for name in ("/conv", "/pool", "f", "m", "y")]
    assert {*graph.constants} == {*weights}


def test_inputs_with_open_shapes_need_sizes(tmp_path: Path) -> None:
    """The batch may be open; anything else must be said, and must fit."""
    model = make(node("Relu", "x"), inputs={"x": ["N", 3, "H", None]})
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    assert read_onnx(tmp_path / "model.onnx", {"x": (3, 5, 7)}).inputs[0].shape == (3, 5, 7)
    start = r"^input 'x' has a shape \(N, 3, H, \?\)"
    with pytest.raises(InputError, match=rf"{start}: give the shape of one image, such as sizes=\{{'x': \(3, 224, 224"):
        graph_of_model(model)
    with pytest.raises(InputError, match=rf"{start}, which images of shape \(1, 5, 7\) do not fit$"):
        graph_of_model(model, {"x": (1, 5, 7)})
    with pytest.raises(InputError, match=r"^sizes are given for z; the inputs are x$"):
        graph_of_model(model, {"z": (3, 5, 7)})
    with pytest.raises(InputError, match=r"^input 'x': an axis must be in 1..16777216, not 0$"):
        graph_of_model(model, {"x": (3, 5, 0)})
    with pytest.raises(InputError, match=r"^input 'x' has a shape that is not known: give the shape of one image, "):
        graph_of_model(make(node("Relu", "x"), inputs={"x": None}))
    with pytest.raises(InputError, match=r"^input 'x' must have the batch as its first axis, and has no axes$"):
        graph_of_model(make(node("Relu", "x"), inputs={"x": []}))
    with pytest.raises(InputError, match=r"^input 'x' is of type STRING, which is not read$"):
        graph_of_model(make(node("StringSplit", "x"), kind=TensorProto.STRING))
    with pytest.raises(InputError, match=r"^input 'x' must have at most 268,435,456 numbers for each image, not "):
        graph_of_model(make(node("Relu", "x"), inputs={"x": [1, 2**20, 2**20]}))
    with pytest.raises(InputError, match=r"^the inputs have batches of different sizes: 2, 3$"):
        graph_of_model(make(node("Add", "x z"), inputs={"x": [2, 4], "z": [3, 4]}))


def test_an_output_that_is_constant_is_refused() -> None:
    """It is no answer to anything."""
    with pytest.raises(InputError, match=r"^output 'y' does not depend on any input$"):
        graph_of_model(make(node("Neg", "w"), weights={"w": np.float32([1])}))


def branch(*nodes: NodeProto, output: str) -> Any:
    """Return the graph of a branch."""
    return helper.make_graph(list(nodes), "b", [], [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)])


@pytest.mark.parametrize("condition", [True, False])
def test_a_branch_with_a_constant_condition_is_read(condition: bool) -> None:
    """As exporters write a squeeze; the other branch is not looked at."""
    graph = graph_of_model(make(
        node("If", "c", then_branch=branch(node("Neg", "x", "a"), node("Neg", "a", "b"), output="b"),
             else_branch=branch(node("Abs", "x", "a"), output="a")), weights={"c": np.bool_([condition])}))
    assert [one.operator.title for one in graph.nodes] == (["neg", "neg"] if condition else ["abs"])
    found = run(graph, {"x": -torch.ones(1, 4)})[graph.outputs[0]]
    assert found.tolist() == [[-1.0 if condition else 1.0] * 4]


def test_a_branch_that_depends_on_the_input_is_unknown() -> None:
    """There is one graph for all inputs."""
    chosen = branch(node("Neg", "x", "b"), output="b")
    model = make(node("If", "c", then_branch=chosen, else_branch=chosen), inputs={"x": ["N", 4], "c": ["N"]})
    assert refused(graph_of_model(model)) == [("If", "its condition must be constant", "node 'y'")]


@pytest.mark.parametrize(("source", "kinds"), [
    (node("Expand", "w t", "big"), {"t": I64([2**40])}), (node("ConstantOfShape", "t", "big"), {"t": I64([2**40])}),
    (node("Tile", "w t", "big"), {"t": I64([2**40])}), (node("Range", "t u v", "big"), {"t": I64(0), "u": I64(2**40),
                                                                                       "v": I64(1)})])
def test_constants_do_not_grow_without_end(source: NodeProto, kinds: dict[str, Any]) -> None:
    """What a constant would become is known before it is computed."""
    graph = graph_of_model(make(source, node("Add", "x big"), weights={"w": np.float32([1]), **kinds}))
    assert refused(graph) == [(source.op_type, "constants of more than 67,108,864 numbers are not computed",
                               "node 'big'")]


def test_constants_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long chain of folded nodes ends somewhere."""
    monkeypatch.setattr(folding, "MOST_NUMBERS", 10)
    graph = graph_of_model(make(node("Neg", "w", "a"), node("Neg", "a", "b"), node("Neg", "b", "c"),
                                node("Add", "x c"), weights={"w": np.ones(4, np.float32)}))
    assert refused(graph) == [("Neg", "constants of more than 10 numbers are not computed", "node 'c'")]


CHOICES = [
    [node("Greater", "x z", "c"), node("Where", "c x z")],
    [node("LessOrEqual", "z x", "c"), node("Mul", "x x", "s"), node("Where", "c x s")],
    [node("Less", "x z", "a"), node("Equal", "x z", "b"), node("Or", "a b", "c"), node("Not", "c", "n"),
     node("GreaterOrEqual", "x z", "d"), node("And", "n d", "e"), node("Cast", "e", "y", to=TensorProto.FLOAT)],
    [node("Where", "t x z")], [node("Where", "m x z")],
    [node("ThresholdedRelu", "x", alpha=0.5)], [node("Celu", "x", alpha=0.5)], [node("Elu", "x", alpha=0.5)],
    [node("Selu", "x", alpha=1.5, gamma=0.5)], [node("Einsum", "x w", equation="bi,io->bo")],
    [node("MatMul", "x v", "p"), node("Unsqueeze", "p o")]]


@pytest.mark.parametrize("nodes", CHOICES, ids=lambda nodes: "+".join(one.op_type for one in nodes))
def test_choices_and_their_conditions(nodes: list[NodeProto]) -> None:
    """Comparisons, truths, constant masks, activations that are choices; products along named axes and with vectors."""
    weights = {"z": np.float32(0.25), "t": np.bool_(1), "m": np.array([True, False, True, False]), "o": I64([1]),
               "w": np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32), "v": np.float32([1, 2, 3, 4])}
    read = {name for one in nodes for name in one.input}
    assert_equals_onnxruntime(make(*nodes, weights={name: value for name, value in weights.items() if name in read}),
                              (2, 4))


WINDOWS = [
    node("MaxPool", "x", kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1),
    node("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER"),
    node("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 1], pads=[0, 1, 1, 1], dilations=[2, 1]),
    node("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 1, 1]),
    node("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1),
    node("AveragePool", "x", kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_LOWER"),
    node("Conv", "x w", auto_pad="SAME_LOWER", strides=[2, 2]), node("Conv", "x w", auto_pad="VALID", dilations=[1, 2]),
    node("Conv", "x w b", group=1, pads=[0, 1, 2, 3]), node("ConvTranspose", "x v", strides=[2, 2], pads=[1, 0, 0, 1]),
    node("ConvTranspose", "x v", strides=[2, 2], output_padding=[1, 0], group=2),
    node("ConvTranspose", "x v", strides=[2, 2], auto_pad="SAME_UPPER")]


@pytest.mark.parametrize("window", WINDOWS, ids=lambda one: f"{one.op_type}-{WINDOWS.index(one)}")
def test_windows_and_their_pads(window: NodeProto) -> None:
    """Every way to say where windows lie."""
    weights = {name: np.random.default_rng(1).normal(size=shape).astype(np.float32)
               for name, shape in {"w": (3, 4, 3, 3), "b": (3,), "v": (4, 2, 3, 3)}.items()}
    used = {name: value for name, value in weights.items() if name in window.input}
    assert_equals_onnxruntime(make(window, weights=used, inputs={"x": ["N", 4, 7, 6]}), (2, 4, 7, 6))


@pytest.mark.parametrize("attributes", [
    {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    {"mode": "nearest"}, {"mode": "linear"}, {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    {"mode": "cubic"}, {"mode": "nearest", "coordinate_transformation_mode": "align_corners"}])
def test_maps_are_scaled(attributes: dict[str, str]) -> None:
    """By factors as by sizes; what torch scales in the same way is a Resize."""
    model = make(node("Resize", "x  s", **attributes), weights={"s": np.float32([1, 1, 2, 3])},
                 inputs={"x": ["N", 2, 4, 3]})
    model.graph.node[0].input[:] = ["x", "", "s"]
    graph = assert_equals_onnxruntime(model, (2, 2, 4, 3))
    scaled = isinstance(graph.nodes[0].operator, Resize)
    assert scaled == (attributes != {"mode": "nearest", "coordinate_transformation_mode": "align_corners"})
    model.graph.node[0].input[:] = ["x", "", "", "s"]
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(I64([2, 2, 8, 9]), "s"))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    assert_equals_onnxruntime(model, (2, 2, 4, 3))


def test_options_are_attributes_or_inputs() -> None:
    """Clip, Pad, Slice, Split, Squeeze, reductions and Softmax mean the same before and after their change."""
    old = make(
        node("Clip", "x", "a", min=-0.5, max=1.0), node("Pad", "a", "b", pads=[0, 0, 1, 0, 1, 0], value=2.0),
        node("Slice", "b", "c", starts=[1], ends=[1000], axes=[2]), node("Split", "c", "d e", axis=1, split=[1, 2]),
        node("Squeeze", "d", "f", axes=[1]), node("ReduceMean", "e", "g", axes=[1], keepdims=0),
        node("Add", "f g", "h"), node("Softmax", "h"), opset=9, inputs={"x": ["N", 2, 4]})
    new = make(node("Clip", "x low high", "a"), node("Pad", "a pads two", "b"), node("Slice", "b one many two_i", "c"),
               node("Split", "c parts", "d e", axis=1), node("Squeeze", "d one", "f"),
               node("ReduceMean", "e one", "g", keepdims=0), node("Add", "f g", "h"), node("Softmax", "h"), opset=18,
               inputs={"x": ["N", 2, 4]},
               weights={"low": np.float32(-0.5), "high": np.float32(1), "pads": I64([0, 0, 1, 0, 1, 0]),
                        "two": np.float32(2), "one": I64([1]), "many": I64([1000]), "two_i": I64([2]),
                        "parts": I64([1, 2])})
    graphs = [assert_equals_onnxruntime(model, (3, 2, 4)) for model in (old, new)]
    assert [one.operator for one in graphs[0].nodes] == [one.operator for one in graphs[1].nodes]


def test_a_softmax_of_all_further_axes() -> None:
    """Before opset 13 it runs over all axes from its own one on."""
    assert_equals_onnxruntime(make(node("Softmax", "x", axis=1), opset=11, inputs={"x": ["N", 2, 3]}), (2, 2, 3))
    graph = graph_of_model(make(node("Softmax", "x", axis=2), opset=11, inputs={"x": ["N", 2, 3, 4]}))
    assert refused(graph) == [("Softmax", "axis of opset 11 must be 1 or the last one, not 2", "node 'y'")]


def test_weights_of_codes_stay_codes() -> None:
    """QDQ, QOperator and QONNX come as the same operators, and weights are not folded to values."""
    rng = np.random.default_rng(3)
    weights = {"w": rng.integers(-9, 9, (2, 3, 2, 2), np.int8), "sw": np.float32([0.25, 0.5]), "zw": np.int8([0, 0]),
               "s": np.float32(0.5), "z": np.uint8(7), "b": np.int32([40, -20])}
    model = make(node("QuantizeLinear", "x s z", "q"), node("QLinearConv", "q s z w sw zw s z b", "c"),
                 node("DequantizeLinear", "c s z"), weights=weights, inputs={"x": ["N", 3, 4, 4]})
    graph = assert_equals_onnxruntime(model, (2, 3, 4, 4))
    assert [one.operator.title for one in graph.nodes] == [
        "Quantize", "Dequantize", "Dequantize", "Dequantize", "Dequantize", "Conv", "Quantize", "Dequantize"]
    assert graph.constants["w"].dtype == torch.int8
    assert shapes(graph)["y"] == (2, 3, 3)
    qonnx = make(node("Quant", "net.weight s zero bits", "w", domain="qonnx.custom_op.general", narrow=1),
                 node("Transpose", "w", "t"), node("MatMul", "x t", "m"),
                 node("BipolarQuant", "m s", domain="qonnx.custom_op.general"), domains=("qonnx.custom_op.general",),
                 weights={"net.weight": np.float32([[0.3, -9, 9, 0.25]]), "s": np.float32(0.5), "zero": np.float32(0),
                          "bits": np.float32(2)})
    found = graph_of_model(qonnx)
    assert [(one.operator.title, one.name) for one in found.nodes] == [
        ("FakeQuantize", "w"), ("Transpose", "t"), ("MatMul", "net"), ("BipolarQuantize", "y")]
    assert run(found, {"x": torch.tensor([[1.0, 1, 1, 1], [0, 1, 0, 0]])})["y"].tolist() == [[0.5], [-0.5]]
