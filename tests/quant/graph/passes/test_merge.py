"""Operators of one kind in a row become one that does the same."""

import pytest

from quant.graph.ops.elementwise import Binary, Clip
from quant.graph.ops.pools import Reduce
from quant.graph.ops.views import Reshape, Transpose
from quant.graph.passes.merge import extremes_to_clips, merge_clips, merge_reductions, merge_views


@pytest.mark.parametrize(("first", "second"), [(Clip(0.0), Clip(-1.0, 2.0)), (Clip(-1.0, 1.0), Clip(0.5, 3.0)),
                                               (Clip(-4.0, -2.0), Clip(0.0)), (Clip(2.0, 3.0), Clip(-1.0, 1.0))])
def test_two_clips_are_one(graph_of, kept, first: Clip, second: Clip) -> None:
    """Their ends overlap, enclose each other, or are apart, where one number is left."""
    assert kept(graph_of((30,), ("a", first, ["x"]), ("y", second, ["a"])), merge_clips) == ["Clip"]


def test_clips_that_others_read_stay(graph_of, kept) -> None:
    """The first is an output by itself."""
    graph = graph_of((30,), ("a", Clip(0.0), ["x"]), ("y", Clip(1.0), ["a"]), outputs=["a", "y"])
    assert kept(graph, merge_clips) == ["Clip", "Clip"]


def test_extremes_with_a_number_are_clips(graph_of, kept) -> None:
    """From either side; those of two values stay."""
    steps = ("a", Binary("max"), ["x", -0.5]), ("y", Binary("min"), [0.5, "a"])
    assert kept(graph_of((30,), *steps), extremes_to_clips, merge_clips) == ["Clip"]
    assert kept(graph_of((30,), ("y", Binary("max"), ["x", "x"])), extremes_to_clips) == ["max"]


@pytest.mark.parametrize(("first", "second"), [
    (Reduce("mean", (3,), False), Reduce("mean", (2,), False)),
    (Reduce("mean", (2,), False), Reduce("mean", (2,), False)),
    (Reduce("max", (2,), True), Reduce("max", (3,), True)), (Reduce("sum", (1,), False), Reduce("sum", (1, 2), False))])
def test_two_reductions_are_one(graph_of, kept, first: Reduce, second: Reduce) -> None:
    """The second counts the axes that the first has left."""
    assert kept(graph_of((2, 3, 4), ("a", first, ["x"]), ("y", second, ["a"])), merge_reductions) == ["Reduce"]


def test_different_reductions_stay(graph_of, kept) -> None:
    """The maximum of means is something else."""
    graph = graph_of((2, 3, 4), ("a", Reduce("mean", (3,), True), ["x"]), ("y", Reduce("max", (2,), True), ["a"]))
    assert kept(graph, merge_reductions) == ["Reduce", "Reduce"]


def test_views_in_a_row_are_one(graph_of, kept) -> None:
    """Three shapes are the last of them, and two orders of axes are one order."""
    steps = [(f"v{place}", Reshape(shape), [f"v{place - 1}" if place else "x"])
             for place, shape in enumerate([(6, 4), (24,), (4, 6)])]
    assert kept(graph_of((2, 3, 4), *steps), merge_views) == ["Reshape"]
    graph = graph_of((2, 3, 4), ("a", Transpose((0, 2, 3, 1)), ["x"]), ("y", Transpose((0, 1, 3, 2)), ["a"]))
    assert kept(graph, merge_views) == ["Transpose"]
