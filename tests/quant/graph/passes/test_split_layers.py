"""Convolutions that are read in slices become several, which give the slices."""

import pytest
import torch

from quant.graph.graph import Graph
from quant.graph.ops.elementwise import Binary, Clip, Unary
from quant.graph.ops.linear import BatchNorm, Conv
from quant.graph.ops.views import Concat, Slice
from quant.graph.passes.split_layers import split_layers


def layer(groups: int = 1) -> tuple:
    """6 channels of 4."""
    operator = Conv((1, 1), (1, 1), ((1, 1), (1, 1)), groups)
    return "conv", operator, ["x", torch.randn(6, 4 // groups, 3, 3), torch.randn(6)]


def test_a_chunked_layer_is_two(graph_of, kept) -> None:
    """With its BatchNorm and activation, whose numbers are cut like its weights; each has a path of its own."""
    norm = ["conv", torch.randn(6), torch.randn(6), torch.randn(6), torch.rand(6) + 1]
    graph = graph_of((4, 5, 5), layer(), ("norm", BatchNorm(1e-5), norm), ("act", Unary("silu"), ["norm"]),
                     ("a", Slice(1, 0, 2), ["act"]), ("b", Slice(1, 2, 6), ["act"]), ("y", Concat(1), ["b", "a"]))
    assert sorted(kept(graph, split_layers, Graph.drop_unread)) == [
        "BatchNorm", "BatchNorm", "Concat", "Conv", "Conv", "silu", "silu"]
    weights = {name: tuple(value.shape) for name, value in graph.constants.items() if name.startswith("conv_")}
    assert weights == {"conv_1.weight": (2, 4, 3, 3), "conv_1.bias": (2,), "conv_2.weight": (4, 4, 3, 3),
                       "conv_2.bias": (4,)}


def test_channels_that_nothing_reads_are_not_computed(graph_of, kept) -> None:
    """One slice in the middle."""
    graph = graph_of((4, 5, 5), layer(), ("a", Clip(0.0), ["conv"]), ("y", Slice(1, 1, 3), ["a"]))
    assert kept(graph, split_layers, Graph.drop_unread) == ["Conv", "Clip"]


@pytest.mark.parametrize("steps", [
    [("a", Slice(1, 0, 3), ["conv"]), ("y", Binary("add"), ["conv", "a"])],
    [("a", Slice(1, 0, 4), ["conv"]), ("b", Slice(1, 2, 6), ["conv"]), ("y", Concat(1), ["a", "b"])],
    [("y", Slice(1, 0, 6, 2), ["conv"])], [("y", Slice(2, 0, 3), ["conv"])],
], ids=["read whole", "read twice", "every second", "rows"])
def test_what_has_other_readers_stays(graph_of, kept, steps: list[tuple]) -> None:
    """Where something reads more than slices, or a channel is in two of them, one layer computes all."""
    steps = steps if steps[-1][1] != Binary("add") else [steps[0], ("y", Concat(1), ["conv", "a"])]
    assert kept(graph_of((4, 5, 5), layer(), *steps), split_layers, Graph.drop_unread).count("Conv") == 1


def test_groups_stay_together(graph_of, kept) -> None:
    """A layer of several groups is not cut."""
    graph = graph_of((4, 5, 5), layer(2), ("a", Slice(1, 0, 3), ["conv"]), ("b", Slice(1, 3, 6), ["conv"]),
                     ("y", Concat(1), ["b", "a"]))
    assert kept(graph, split_layers, Graph.drop_unread).count("Conv") == 1
