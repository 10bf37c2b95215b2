"""Averages over unequal cells become part of the linear layer that reads them."""

import pytest
import torch

from quant.graph.ops.elementwise import Clip
from quant.graph.ops.linear import Linear
from quant.graph.ops.pools import AdaptivePool
from quant.graph.ops.views import Reshape
from quant.graph.passes.adaptive_into_linear import adaptive_into_linear


@pytest.mark.parametrize(("size", "cells"), [((4, 4), (7, 7)), ((8, 5), (3, 2)), ((1, 1), (2, 2))])
def test_unequal_cells_go_into_the_weights(graph_of, kept, size: tuple[int, int], cells: tuple[int, int]) -> None:
    """On maps larger and smaller than the number of cells; the layer keeps its name."""
    weight = torch.randn(3, 2 * cells[0] * cells[1])
    graph = graph_of((2, *size), ("pool", AdaptivePool("average", cells), ["x"]),
                     ("row", Reshape((weight.shape[1],)), ["pool"]), ("fc", Linear(), ["row", weight]))
    assert kept(graph, adaptive_into_linear) == ["Reshape", "Linear"]
    assert graph.constants["fc.weight"].shape == (3, 2 * size[0] * size[1])


def test_other_pools_stay(graph_of, kept) -> None:
    """Equal cells, maxima, and cells with a ReLU between them and the layer."""
    def after(kind, cells, *between):
        row = ("row", Reshape((2 * cells**2,)), [between[-1][0] if between else "pool"])
        return graph_of((2, 4, 4), ("pool", AdaptivePool(kind, (cells, cells)), ["x"]), *between, row,
                        ("fc", Linear(), ["row", torch.randn(3, 2 * cells**2)]))
    relu = "relu", Clip(0.0), ["pool"]
    for graph in (after("average", 2), after("max", 3), after("average", 3, relu)):
        assert "AdaptivePool" in kept(graph, adaptive_into_linear)
