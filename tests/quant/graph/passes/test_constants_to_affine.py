"""Arithmetic with constants becomes one operator wherever a number or one axis is enough."""

import pytest
import torch
from torch import Tensor

from quant.graph.ops.elementwise import Binary, BinaryKind, Unary
from quant.graph.passes.constants_to_affine import constants_to_affine

C = torch.tensor([0.5, -2.0, 3.0])


@pytest.mark.parametrize("kind", ["add", "sub", "mul", "div"])
@pytest.mark.parametrize("constant", [torch.tensor(2.5), C.reshape(3, 1, 1), C.reshape(1, 3, 1, 1), torch.ones(1, 1),
                                      torch.tensor([1.0, 2.0, 4.0, 8.0])])
def test_constants_after_the_value_are_taken_up(graph_of, kept, kind: BinaryKind, constant: Tensor) -> None:
    """Sums, differences, products and quotients with a number, channels or columns are `Affine`."""
    assert kept(graph_of((3, 2, 4), ("y", Binary(kind), ["x", constant])), constants_to_affine) == ["Affine"]


@pytest.mark.parametrize(("kind", "left"), [("add", "Affine"), ("sub", "Affine"), ("mul", "Affine"), ("div", "div")])
def test_constants_before_the_value_are_taken_up(graph_of, kept, kind: BinaryKind, left: str) -> None:
    """Quotients of a constant by a value are not, since they are no line."""
    assert kept(graph_of((3, 2, 4), ("y", Binary(kind), [C.reshape(3, 1, 1), "x"])), constants_to_affine) == [left]


def test_signs_are_turned(graph_of, kept) -> None:
    """-x is x * -1."""
    assert kept(graph_of((3,), ("y", Unary("neg"), ["x"])), constants_to_affine) == ["Affine"]


@pytest.mark.parametrize("constant", [
    torch.arange(24.0).reshape(3, 2, 4), torch.arange(12.0).reshape(3, 1, 4), torch.arange(24.0).reshape(1, 3, 2, 4)])
def test_other_constants_stay(graph_of, kept, constant: Tensor) -> None:
    """Numbers that differ along two axes are none for each channel."""
    assert kept(graph_of((3, 2, 4), ("y", Binary("mul"), ["x", constant])), constants_to_affine) == ["mul"]


def test_equal_numbers_are_one(graph_of, kept) -> None:
    """A constant whose numbers are all the same is one number, whatever its shape."""
    graph = graph_of((3, 2, 4), ("y", Binary("mul"), ["x", torch.full((3, 2, 4), 2.0)]))
    assert kept(graph, constants_to_affine) == ["Affine"]
    assert graph.constants[graph.nodes[0].inputs[1]].tolist() == 2


def test_values_that_grow_stay(graph_of, kept) -> None:
    """A constant may have more numbers than the value along an axis; then the value is repeated."""
    graph = graph_of((1, 2, 4), ("y", Binary("add"), ["x", C.reshape(3, 1, 1)]))
    assert kept(graph, constants_to_affine) == ["add"]


def test_two_values_stay(graph_of, kept) -> None:
    """x * x has no constant."""
    assert kept(graph_of((3,), ("y", Binary("mul"), ["x", "x"])), constants_to_affine) == ["mul"]
