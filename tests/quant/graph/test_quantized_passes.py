"""Passes for quantized models leave what they compute as it is, and put quantizers where a machine stores codes."""

import torch

from quant.graph.graph import Graph, Input, Node
from quant.graph.interpret import run
from quant.graph.ops.elementwise import Binary, Clip
from quant.graph.ops.linear import Affine
from quant.graph.ops.operator import Operator
from quant.graph.ops.pools import MaxPool
from quant.graph.ops.quantization import BipolarQuantize, Dequantize, FakeQuantize, Quantize
from quant.graph.ops.views import Pad, Reshape, Transpose
from quant.graph.passes.moved_codes import clips_into_codes, values_before_moves
from quant.graph.passes.quantized_constants import quantized_constants
from quant.graph.passes.stored_codes import (
    affine_into_quantizers,
    drop_repeated_quantizers,
    join_codes,
    quantizers_before_moves,
)

SCALE = {"s": torch.tensor(0.25), "z": torch.tensor(3, dtype=torch.uint8)}


def graph_of(*nodes: tuple[Operator, tuple[str, ...], str], output: str, shape: tuple[int, ...] = (2, 4, 4),
             **constants: torch.Tensor) -> Graph:
    return Graph([Input("x", shape)], [output], [Node(operator, inputs, made, f"node '{made}'")
                                                for operator, inputs, made in nodes], {**SCALE, **constants})


def operators(graph: Graph) -> list[str]:
    return [type(node.operator).__name__ for node in graph.nodes]


def value(graph: Graph) -> torch.Tensor:
    x = torch.linspace(-40, 40, 3 * 32).reshape(3, 2, 4, 4)
    return run(graph, {"x": x})[graph.outputs[0]]


def test_codes_and_their_values_become_one_operator() -> None:
    """Of a rounding that two readers take back one operator is left; one that is taken back otherwise stays."""
    nodes = [(Quantize(0, 255), ("x", "s", "z"), "codes"), (Dequantize(), ("codes", "s", "z"), "one"),
             (Dequantize(), ("codes", "s", "z"), "two"), (Affine(1), ("one", "s", "s"), "three"),
             (MaxPool((2, 2), (2, 2), (1, 1), ((0, 0), (0, 0))), ("two",), "y")]
    graph = graph_of(*nodes, output="y")
    before = value(graph)
    join_codes(graph)
    graph.drop_unread()
    assert operators(graph) == ["FakeQuantize", "MaxPool"]
    torch.testing.assert_close(value(graph), before, rtol=0, atol=0)
    other = graph_of(*nodes[:1], (Dequantize(), ("codes", "t", "z"), "y"), output="y", t=torch.tensor(1.0))
    join_codes(other)
    assert operators(other) == ["Quantize", "Dequantize"]


def test_the_host_does_what_stands_before_the_first_quantizer() -> None:
    """Maps of one number and quantizers move before views of the input, and the quantizer takes the maps in."""
    graph = graph_of((Reshape((32,)), ("x",), "row"), (Affine(1), ("row", "two", "one"), "map"),
                     (BipolarQuantize(), ("map", "one"), "y"), output="y", two=torch.tensor(2.0), one=torch.tensor(1.0))
    before = value(graph)
    quantizers_before_moves(graph)
    affine_into_quantizers(graph)
    assert [node.operator for node in graph.nodes] == [BipolarQuantize(gain=2.0, shift=1.0), Reshape((32,))]
    torch.testing.assert_close(value(graph), before, rtol=0, atol=0)


def test_quantizers_stand_where_sums_are_stored() -> None:
    """A quantizer behind a max pool and a view moves before both: the largest number has the largest code."""
    pool = MaxPool((2, 2), (2, 2), (1, 1), ((0, 1), (1, 0)))
    graph = graph_of((pool, ("x",), "pooled"), (Reshape((8,)), ("pooled",), "row"),
                     (FakeQuantize(0, 255), ("row", "s", "z"), "y"), output="y")
    before = value(graph)
    quantizers_before_moves(graph)
    assert operators(graph) == ["FakeQuantize", "MaxPool", "Reshape"]
    torch.testing.assert_close(value(graph), before, rtol=0, atol=0)


def test_a_quantizer_that_changes_nothing_is_taken_out() -> None:
    """Maxima and views of codes have the same codes; another scale is another quantizer."""
    pool = MaxPool((2, 2), (2, 2), (1, 1), ((0, 0), (0, 0)))
    nodes = [(FakeQuantize(0, 255), ("x", "s", "z"), "a"), (pool, ("a",), "b"), (Transpose((0, 1, 3, 2)), ("b",), "c")]
    graph = graph_of(*nodes, (FakeQuantize(0, 255), ("c", "s", "z"), "y"), output="y")
    before = value(graph)
    drop_repeated_quantizers(graph)
    assert operators(graph) == ["FakeQuantize", "MaxPool", "Transpose"]
    torch.testing.assert_close(value(graph), before, rtol=0, atol=0)
    other = graph_of(*nodes, (FakeQuantize(0, 255), ("c", "t", "z"), "y"), output="y", t=torch.tensor(0.5))
    drop_repeated_quantizers(other)
    assert operators(other)[-1] == "FakeQuantize"


def test_quantized_constants_keep_their_steps() -> None:
    """Weights become numbers, and stay known as multiples: of bytes with a zero point, of ternary and bipolar ones."""
    codes = torch.tensor([[0, 255], [100, 101]], dtype=torch.uint8)
    graph = graph_of((Dequantize(0), ("w", "steps", "zeros"), "bytes"), (Transpose((1, 0)), ("bytes",), "turned"),
                     (FakeQuantize(-1, 1), ("t", "s", "none"), "ternary"), (BipolarQuantize(), ("t", "s"), "signs"),
                     output="x", w=codes, steps=torch.tensor([0.5, 2.0]), t=torch.tensor([-9.0, 0.1, 0.2]),
                     zeros=torch.tensor([100, 100], dtype=torch.uint8), none=torch.tensor(0.0))
    quantized_constants(graph)
    assert not graph.nodes
    assert graph.constants["turned"].tolist() == [[-50.0, 0.0], [77.5, 2.0]]
    assert graph.steps["turned"].step.tolist() == [[0.5, 2.0]]
    assert (graph.steps["bytes"].low, graph.steps["bytes"].high) == (-100, 155)
    assert (graph.steps["ternary"].low, graph.steps["ternary"].high) == (-1, 1)
    assert graph.constants["signs"].tolist() == [-0.25, 0.25, 0.25]
    assert graph.steps["signs"].bipolar


def test_clamped_codes_are_codes_of_fewer_bits() -> None:
    """Codes of a byte that are clamped to 0..15 are those of four bits; ends outside the byte's change nothing."""
    graph = graph_of((Quantize(0, 255), ("x", "s", "z"), "byte"), (Clip(0, 15), ("byte",), "codes"),
                     (Clip(-3, 300), ("codes",), "same"), (Dequantize(), ("same", "s", "z"), "y"), output="y")
    before = value(graph)
    clips_into_codes(graph)
    join_codes(graph)
    assert [node.operator for node in graph.nodes] == [FakeQuantize(0, 15, zero_first=False)]
    torch.testing.assert_close(value(graph), before, rtol=0, atol=0)


def test_codes_that_are_pooled_padded_and_viewed_become_values_at_once() -> None:
    """Two readers take back what a max pool of padded codes gives: one rounding is left, and pads keep their value."""
    pool = MaxPool((2, 2), (2, 2), (1, 1), ((0, 1), (1, 0)))
    nodes = [(Quantize(0, 255), ("x", "s", "z"), "codes"), (Pad(((0, 0), (1, 0), (0, 1)), value=7.0), ("codes",), "p"),
             (pool, ("p",), "q"), (Reshape((18,)), ("q",), "r"), (Dequantize(), ("r", "s", "z"), "one")]
    graph = graph_of(*nodes, (Dequantize(), ("r", "s", "z"), "two"), (Binary("add"), ("one", "two"), "y"), output="y")
    before = value(graph)
    values_before_moves(graph)
    join_codes(graph)
    assert operators(graph) == ["FakeQuantize", "Pad", "MaxPool", "Reshape", "Binary"]
    torch.testing.assert_close(value(graph), before, rtol=0, atol=0)
    other = graph_of(*nodes, (Dequantize(), ("r", "t", "z"), "two"), (Binary("add"), ("one", "two"), "y"), output="y",
                     t=torch.tensor(1.0))
    values_before_moves(other)
    assert operators(other)[:4] == ["Quantize", "Pad", "MaxPool", "Reshape"]
