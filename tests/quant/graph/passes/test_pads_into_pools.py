"""Pads become a pool's own only where that computes the same."""

from math import inf

import pytest

from quant.graph.ops.elementwise import Clip
from quant.graph.ops.pools import AveragePool, MaxPool
from quant.graph.ops.views import Pad
from quant.graph.passes.pads_into_pools import pads_into_pools

NONE = ((0, 0), (0, 0))
AROUND = ((0, 0), (1, 2), (0, 1))
LARGEST = MaxPool((3, 3), (2, 2), (1, 1), NONE)


def test_zeros_around_averages_are_counted(graph_of, kept) -> None:
    """The sum is divided by the whole window, as where the zeros were numbers."""
    average = AveragePool((3, 3), (2, 2), NONE, None, NONE)
    graph = graph_of((2, 5, 6), ("a", Pad(AROUND), ["x"]), ("y", average, ["a"]))
    assert kept(graph, pads_into_pools) == ["AveragePool"]


@pytest.mark.parametrize("value", [0.0, -inf])
def test_pads_that_never_win_go_into_maxima(graph_of, kept, value: float) -> None:
    """Minus infinity always, and zeros among numbers that a ReLU has made."""
    graph = graph_of((2, 5, 6), ("r", Clip(0.0), ["x"]), ("a", Pad(AROUND, value=value), ["r"]), ("y", LARGEST, ["a"]))
    assert kept(graph, pads_into_pools) == ["Clip", "MaxPool"]


@pytest.mark.parametrize("pad", [Pad(AROUND), Pad(AROUND, value=1.0), Pad(AROUND, "reflect"), Pad(((1, 0), *NONE)),
                                 Pad(((0, 0), (-1, 0), (0, 0)))])
def test_other_pads_of_maxima_stay(graph_of, kept, pad: Pad) -> None:
    """Zeros win among negative numbers; other numbers, other modes, channels and cuts are no pads of a pool."""
    assert kept(graph_of((2, 5, 6), ("a", pad, ["x"]), ("y", LARGEST, ["a"])), pads_into_pools) == ["Pad", "MaxPool"]


def test_pads_as_large_as_the_window_stay(graph_of, kept) -> None:
    """There a window would hold nothing but zeros, which are its maximum."""
    steps = ("r", Clip(0.0), ["x"]), ("a", Pad(((0, 0), (3, 0), (0, 0))), ["r"]), ("y", LARGEST, ["a"])
    assert kept(graph_of((2, 5, 6), *steps), pads_into_pools) == ["Clip", "Pad", "MaxPool"]
