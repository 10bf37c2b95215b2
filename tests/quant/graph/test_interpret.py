"""A graph runs as its operators say, and refuses in one sentence what they cannot read."""

import pytest
import torch

from quant.graph.graph import Graph, Input, Node
from quant.graph.interpret import fold_constants, run, shapes
from quant.graph.ops.elementwise import Binary, Clip, Unary
from quant.graph.ops.linear import Conv
from quant.graph.ops.operator import Unknown
from quant.graph.ops.views import Reshape, Transpose
from sim.errors import InputError


def small() -> Graph:
    """Return conv(x) clamped from 0, as a row."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 2, 3, 3, generator=generator)
    nodes = [Node(Conv((1, 1), (1, 1), ((1, 0), (0, 1))), ("x", "weight"), "sums", "at 'conv'"),
             Node(Clip(0.0), ("sums",), "clamped", "at 'relu'"),
             Node(Reshape((4 * 4 * 4,)), ("clamped",), "row", "node 'flatten'")]
    return Graph([Input("x", (2, 5, 5))], ["row"], nodes, {"weight": weight})


def test_values_are_what_torch_computes() -> None:
    """A graph of three operators gives what three calls of torch give, for any number of images."""
    graph = small()
    for images in (1, 4):
        x = torch.randn(images, 2, 5, 5)
        padded = torch.nn.functional.pad(x, (0, 1, 1, 0))
        expected = torch.relu(torch.nn.functional.conv2d(padded, graph.constants["weight"])).flatten(1)
        assert torch.equal(run(graph, {"x": x})["row"], expected)


def test_shapes_are_those_of_the_values() -> None:
    """Shapes of one image are known without numbers, and end where an operator is unknown."""
    graph = small()
    graph.add(Node(Unknown("Mystery"), ("row",), "strange", "node 'm'"))
    graph.add(Node(Unary("neg"), ("strange",), "negated", "node 'n'"))
    assert shapes(graph) == {"x": (2, 5, 5), "sums": (4, 4, 4), "clamped": (4, 4, 4), "row": (64,)}


def test_what_depends_on_constants_alone_is_computed() -> None:
    """Folding leaves the nodes that read an input, and constants in place of the others."""
    graph = Graph([Input("x", (2,))], ["sum"], [Node(Unary("neg"), ("a",), "b", "node 'neg'"),
                                               Node(Binary("add"), ("x", "b"), "sum", "node 'add'")],
                  {"a": torch.tensor([1.0, -2.0])})
    fold_constants(graph)
    assert [node.output for node in graph.nodes] == ["sum"]
    assert torch.equal(graph.constants["b"], torch.tensor([-1.0, 2.0]))


def test_operators_that_cannot_run_name_their_place() -> None:
    """Shapes that do not fit, unknown operators and mixed batches are each refused in one sentence."""
    graph = small()
    graph.constants["weight"] = torch.zeros(4, 3, 3, 3)
    with pytest.raises(InputError, match=r"^Conv at 'conv' cannot read shapes \(3, 2, 5, 5\), \(4, 3, 3, 3\): .*"):
        shapes(graph)
    unknown = Graph([Input("x", (2,))], ["y"], [Node(Unknown("Mystery", "no one knows"), ("x",), "y", "node 'm'")])
    with pytest.raises(InputError, match=r"^unsupported operator Mystery: no one knows node 'm'$"):
        run(unknown, {"x": torch.zeros(1, 2)})
    mixed = Graph([Input("x", (4,))], ["y"], [Node(Transpose((1, 0)), ("x",), "y", "node 't'")])
    with pytest.raises(InputError, match=r"^Transpose node 't' mixes the images of a batch$"):
        shapes(mixed)
