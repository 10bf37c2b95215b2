"""Inputs with their channels last become inputs with their channels first, where nothing reads them otherwise."""

from collections.abc import Callable, Sequence

import pytest
import torch

from quant.graph.graph import Graph
from quant.graph.interpret import run, shapes
from quant.graph.ops.elementwise import Binary, Clip, Unary
from quant.graph.ops.linear import Affine
from quant.graph.ops.operator import Operator
from quant.graph.ops.quantization import FakeQuantize
from quant.graph.ops.views import Reshape, Transpose
from quant.graph.passes.channels_first_inputs import channels_first_inputs

FIRST = Transpose((0, 3, 1, 2))
SHAPE = (4, 5, 3)

Steps = Sequence[tuple[str, Operator, Sequence[object]]]


@pytest.mark.parametrize("before", [
    [], [("q", FakeQuantize(-8, 7), ["x", 0.5, 0.0])], [("c", Clip(-1.0, 1.0), ["x"]), ("n", Unary("neg"), ["c"])],
    [("s", Binary("sub"), ["x", 0.5]), ("a", Affine(1), ["s", 2.0, 1.0])], [("m", Binary("mul"), [[[[2.0]]], "x"])]],
    ids=["nothing", "rounding", "functions", "constants", "a constant of four axes"])
def test_what_is_computed_number_by_number_may_come_before(graph_of: Callable[..., Graph], before: Steps) -> None:
    """Outputs stay what they were, no transposition is left, and shapes are those of the turned values."""
    value = before[-1][0] if before else "x"
    graph = graph_of(SHAPE, *before, ("t", FIRST, [value]), ("y", Clip(0.0), ["t"]), ("z", Unary("abs"), ["t"]),
                     outputs=["y", "z"])
    images = torch.randn(2, *SHAPE)
    wanted = run(graph, {"x": images})
    assert shapes(graph)["x"] == SHAPE
    channels_first_inputs(graph)
    assert graph.inputs[0].shape == (3, 4, 5)
    assert FIRST not in [node.operator for node in graph.nodes]
    assert {*shapes(graph).values()} == {(3, 4, 5)}
    found = run(graph, {"x": images.permute(0, 3, 1, 2)})
    assert all(torch.equal(found[name], wanted[name]) for name in graph.outputs)


@pytest.mark.parametrize(("steps", "outputs"), [
    ([("t", Transpose((0, 2, 3, 1)), ["x"])], ["t"]),
    ([("r", Reshape((60,)), ["x"]), ("t", FIRST, ["x"])], ["r", "t"]),
    ([("s", Binary("add"), ["x", torch.randn(3)]), ("t", FIRST, ["s"])], ["t"]),
    ([("s", Binary("add"), ["x", "x"]), ("t", FIRST, ["s"])], ["t"]),
    ([("c", Clip(0.0), ["x"]), ("t", FIRST, ["c"])], ["c", "t"]),
    ([("t", FIRST, ["x"])], ["x", "t"])],
    ids=["another order", "a view as well", "one number for each channel", "two operands", "an output between",
         "the input returned"])
def test_other_inputs_stay(graph_of: Callable[..., Graph], steps: Steps, outputs: list[str]) -> None:
    """What is read in its own order keeps it."""
    graph = graph_of(SHAPE, *steps, outputs=outputs)
    nodes = graph.nodes
    channels_first_inputs(graph)
    assert (graph.inputs[0].shape, graph.nodes) == (SHAPE, nodes)
