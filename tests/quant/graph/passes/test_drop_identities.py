"""Operators that change nothing go, others stay."""

from math import inf

import pytest

from quant.graph.ops.elementwise import Clip, Unary
from quant.graph.ops.linear import Affine
from quant.graph.ops.operator import Operator
from quant.graph.ops.pools import AdaptivePool, AveragePool, MaxPool
from quant.graph.ops.views import Concat, Gather, Pad, Reshape, Slice, Transpose
from quant.graph.passes.drop_identities import drop_identities

NONE = ((0, 0), (0, 0))


@pytest.mark.parametrize("operator", [
    Unary("identity"), Clip(-inf, inf), Concat(1), Reshape((4, 6, 6)), Transpose((0, 1, 2, 3)), Slice(2, 0, 6),
    Gather(1, (0, 1, 2, 3)), Pad(((0, 0), *NONE)), AdaptivePool("average", (6, 6)),
    MaxPool((1, 1), (1, 1), (1, 1), NONE), AveragePool((1, 1), (1, 1), NONE, None, NONE)])
def test_what_changes_nothing_is_taken_out(graph_of, kept, operator: Operator) -> None:
    """Each operator that passes on its operand goes, in the middle of a network and at its ends."""
    middle = ("a", Clip(0.0), ["x"]), ("b", operator, ["a"]), ("c", Clip(-1.0, 1.0), ["b"])
    assert kept(graph_of((4, 6, 6), *middle), drop_identities) == ["Clip", "Clip"]
    assert kept(graph_of((4, 6, 6), ("a", operator, ["x"]), ("b", operator, ["a"])), drop_identities) == []


@pytest.mark.parametrize("operator", [
    Unary("neg"), Clip(0.0), Reshape((6, 4, 6)), Transpose((0, 1, 3, 2)), Slice(2, 0, 5), Slice(2, 0, 6, 5),
    Gather(1, (0, 1, 3, 2)), Pad(((0, 0), (0, 0), (0, 1))), AdaptivePool("average", (6, 3)),
    MaxPool((1, 1), (2, 2), (1, 1), NONE), AveragePool((1, 1), (1, 1), NONE, 2, NONE)])
def test_what_changes_something_stays(graph_of, kept, operator: Operator) -> None:
    """No operator with an effect goes, however small it is."""
    assert kept(graph_of((4, 6, 6), ("a", operator, ["x"])), drop_identities) == [operator.title]


def test_multiplying_by_1_and_adding_0_goes(graph_of, kept) -> None:
    """Only both together change nothing."""
    for gain, shift, left in ((1.0, 0.0, []), (1.0, 0.5, ["Affine"]), (2.0, 0.0, ["Affine"])):
        assert kept(graph_of((3, 2, 2), ("a", Affine(1), ["x", gain, shift])), drop_identities) == left
