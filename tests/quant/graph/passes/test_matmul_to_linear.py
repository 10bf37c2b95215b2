"""Products with a constant matrix become linear layers, from either side."""

import pytest
import torch

from quant.graph.ops.linear import MatMul
from quant.graph.passes.matmul_to_linear import matmul_to_linear


@pytest.mark.parametrize("shape", [(4,), (7, 4), (2, 7, 4)])
def test_matrices_from_the_right_are_weights(graph_of, kept, shape: tuple[int, ...]) -> None:
    """Of rows, of tokens, and of pixels whose channels come last."""
    assert kept(graph_of(shape, ("y", MatMul(), ["x", torch.randn(4, 5)])), matmul_to_linear) == ["Linear"]


def test_matrices_from_the_left_mix_the_axis_before_the_last(graph_of, kept) -> None:
    """W @ x is a linear layer of the transposed value."""
    graph = graph_of((4, 7), ("y", MatMul(), [torch.randn(5, 4), "x"]))
    assert kept(graph, matmul_to_linear) == ["Transpose", "Linear", "Transpose"]


def test_other_products_stay(graph_of, kept) -> None:
    """Two values, and stacks of matrices."""
    assert kept(graph_of((4, 4), ("y", MatMul(), ["x", "x"])), matmul_to_linear) == ["MatMul"]
    assert kept(graph_of((2, 7, 4), ("y", MatMul(), ["x", torch.randn(2, 4, 5)])), matmul_to_linear) == ["MatMul"]


def test_a_matrix_that_is_read_twice_keeps_its_own_name(graph_of, kept) -> None:
    """The second reader finds it as it was."""
    graph = graph_of((4,), ("a", MatMul(), ["x", torch.randn(4, 4)]), ("y", MatMul(), ["a", "a.weight"]))
    assert kept(graph, matmul_to_linear) == ["Linear", "Linear"]
