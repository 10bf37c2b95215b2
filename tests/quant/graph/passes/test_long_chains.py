"""Chains of more nodes than passes look back at keep their values, and become as few as short ones."""

from collections.abc import Callable

import pytest
import torch

from quant.graph.ops.elementwise import Binary, Unary
from quant.graph.ops.linear import Linear
from quant.graph.ops.views import Reshape, Transpose
from quant.graph.passes.functions import join_functions
from quant.graph.passes.normalise import normalise
from quant.graph.passes.rewriting import LONGEST_CHAIN

LENGTH = 3 * LONGEST_CHAIN + 7


@pytest.mark.parametrize("kind", ["mul", "add"])
def test_constants_become_one(graph_of: Callable[..., object], kept: Callable[..., list[str]], kind: str) -> None:
    """However many of them multiply or add."""
    steps = [(f"v{place}", Binary(kind), [f"v{place - 1}" if place else "x", 1.01]) for place in range(LENGTH)]
    assert kept(graph_of((4,), *steps), normalise) == ["Affine"]


def test_constants_of_both_kinds_become_one(graph_of: Callable[..., object], kept: Callable[..., list[str]]) -> None:
    """In turns."""
    steps = [(f"v{place}", Binary(("mul", "add")[place % 2]), [f"v{place - 1}" if place else "x", 0.99])
             for place in range(LENGTH)]
    assert kept(graph_of((4,), *steps), normalise) == ["Affine"]


def test_functions_of_functions_become_a_few(graph_of: Callable[..., object], kept: Callable[..., list[str]]) -> None:
    """Each of as many steps as are looked back at; the host would compute them without a layer after them."""
    steps = [(f"v{place}", Unary("tanh"), [f"v{place - 1}" if place else "x"]) for place in range(LENGTH)]
    *names, last = kept(graph_of((4,), *steps, ("y", Linear(), [steps[-1][0], torch.eye(4)])), join_functions)
    assert sum(name.count("tanh") for name in names) == LENGTH
    assert (len(names), last) == (4, "Linear")


def test_views_become_one(graph_of: Callable[..., object], kept: Callable[..., list[str]]) -> None:
    """Shapes back and forth, and axes turned again and again."""
    shapes = [(f"v{place}", Reshape(((2, 6), (3, 4), (12,))[place % 3]), [f"v{place - 1}" if place else "x"])
              for place in range(LENGTH)]
    assert kept(graph_of((3, 4), *shapes), normalise) == ["Reshape"]
    turns = [(f"v{place}", Transpose((0, 2, 3, 1)), [f"v{place - 1}" if place else "x"]) for place in range(LENGTH + 1)]
    assert kept(graph_of((2, 3, 4), *turns), normalise) == ["Transpose"]
