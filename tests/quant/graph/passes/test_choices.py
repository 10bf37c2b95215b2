"""A choice between a value and one of its ends is a clamp."""

from collections.abc import Callable
from math import inf

import pytest
import torch

from quant.graph.ops.elementwise import Binary, BinaryKind, Clip, Where
from quant.graph.passes.choices import choices_to_clips
from quant.graph.passes.functions import join_functions

ABOVE, BELOW = Clip(0.5, inf), Clip(-inf, 0.5)


@pytest.mark.parametrize(("kind", "turned", "choice", "clip"), [
    ("gt", False, ["t", "x", 0.5], ABOVE), ("ge", False, ["t", "x", 0.5], ABOVE),
    ("lt", False, ["t", 0.5, "x"], ABOVE), ("le", True, ["t", "x", 0.5], ABOVE),
    ("gt", False, ["t", 0.5, "x"], BELOW), ("lt", True, ["t", 0.5, "x"], BELOW),
    ("le", False, ["t", "x", 0.5], BELOW), ("ge", True, ["t", "x", 0.5], BELOW)])
def test_every_spelling_is_one_clip(graph_of: Callable[..., object], kept: Callable[..., list[str]], kind: BinaryKind,
                                    turned: bool, choice: list[str | float], clip: Clip) -> None:
    """Above and below, either order of the comparison, either order of the choice."""
    operands = [0.5, "x"] if turned else ["x", 0.5]
    graph = graph_of((4,), ("t", Binary(kind), operands), ("y", Where(), choice))
    assert kept(graph, choices_to_clips, lambda graph: graph.drop_unread()) == ["Clip"]
    assert graph.nodes[0].operator == clip


@pytest.mark.parametrize(("kind", "clip"), [("gt", Clip(0.0, inf)), ("lt", Clip(-inf, 0.0))])
def test_a_value_times_its_own_truth_is_a_clip(graph_of: Callable[..., object], kept: Callable[..., list[str]],
                                               kind: BinaryKind, clip: Clip) -> None:
    """x * (x > 0)."""
    graph = graph_of((4,), ("t", Binary(kind), ["x", 0.0]), ("y", Binary("mul"), ["t", "x"]))
    assert kept(graph, choices_to_clips, lambda graph: graph.drop_unread()) == ["Clip"]
    assert graph.nodes[0].operator == clip


def test_zeros_like_a_value_are_zeros(graph_of: Callable[..., object], kept: Callable[..., list[str]]) -> None:
    """torch.where(x > 0, x, torch.zeros_like(x))."""
    graph = graph_of((4,), ("t", Binary("gt"), ["x", 0.0]), ("z", Binary("mul"), ["x", 0.0]),
                     ("y", Where(), ["t", "x", "z"]))
    assert kept(graph, choices_to_clips, lambda graph: graph.drop_unread()) == ["Clip"]


@pytest.mark.parametrize("choice", [["t", "x", 1.0], ["t", "x", "s"], ["t", "s", "x"]])
def test_other_choices_by_one_value_are_functions_of_it(graph_of: Callable[..., object],
                                                        kept: Callable[..., list[str]],
                                                        choice: list[str | float]) -> None:
    """Steps, leaky slopes in both orders."""
    graph = graph_of((4,), ("t", Binary("ge"), ["x", 0.5]), ("s", Binary("mul"), ["x", 0.25]), ("y", Where(), choice))
    assert kept(graph, choices_to_clips, lambda graph: graph.drop_unread(), join_functions)[0].endswith("where")


def test_choices_by_two_values_stay(graph_of: Callable[..., object], kept: Callable[..., list[str]]) -> None:
    """No table has two inputs, and a mask of pixels is none."""
    graph = graph_of((4,), ("a", Binary("mul"), ["x", torch.tensor([1., 2., 3., 4.])]),
                     ("t", Binary("gt"), ["x", "a"]), ("y", Where(), ["t", "x", 0.0]))
    assert kept(graph, choices_to_clips, join_functions) == ["mul", "gt", "Where"]
    graph = graph_of((4,), ("y", Where(), [torch.tensor([True, False, True, True]), "x", 0.0]))
    assert kept(graph, choices_to_clips, join_functions) == ["Where"]
