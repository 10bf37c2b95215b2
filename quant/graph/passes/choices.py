"""Choices between a value and one of its ends are clamps."""

from __future__ import annotations

from functools import partial
from math import inf
from typing import cast

from quant.graph.graph import Graph, Node
from quant.graph.ops.elementwise import Binary, Clip, Where
from quant.graph.passes.rewriting import number, operator_nodes, swap

__all__ = ["choices_to_clips"]

TURNED = {"gt": "lt", "ge": "le", "lt": "gt", "le": "ge"}


def choices_to_clips(graph: Graph) -> None:
    """Make x > c ? x : c a `Clip`, in all its spellings, and x * (x > 0) as well, in place."""
    for node in operator_nodes(graph, Where, Binary):
        found = _ends(graph, node)
        if found is not None:
            value, clip = found
            swap(graph, [node], clip, (value,))


def _ends(graph: Graph, node: Node) -> tuple[str, Clip] | None:
    """Return the value and its clamp that a node is, None if it is something else."""
    if node.operator == Binary("mul"):
        for value, truth in (node.inputs, node.inputs[::-1]):
            if _condition(graph, truth) in ((value, True, 0.0), (value, False, 0.0)):
                return value, Clip(0.0, inf) if _condition(graph, truth) == (value, True, 0.0) else Clip(-inf, 0.0)
        return None
    if not isinstance(node.operator, Where):
        return None
    truth, chosen, other = node.inputs
    condition = _condition(graph, truth)
    if condition is None:
        return None
    value, above, limit = condition
    if (chosen, _number(graph, other)) == (value, limit):
        return value, Clip(limit, inf) if above else Clip(-inf, limit)
    if (other, _number(graph, chosen)) == (value, limit):
        return value, Clip(-inf, limit) if above else Clip(limit, inf)
    return None


def _number(graph: Graph, name: str) -> float | None:
    """Return a number that is constant or a value times 0, as zeros like a value are; None for anything else."""
    maker = graph.maker(name)
    if maker is not None and maker.operator == Binary("mul") and 0 in map(partial(number, graph), maker.inputs):
        return 0.0
    return number(graph, name)


def _condition(graph: Graph, name: str) -> tuple[str, bool, float] | None:
    """Return the value that a truth compares with a number, whether it is true above that, and the number."""
    maker = graph.maker(name)
    if maker is None or not isinstance(maker.operator, Binary) or maker.operator.kind not in TURNED:
        return None
    kind, (left, right) = cast(str, maker.operator.kind), maker.inputs
    limit = number(graph, right)
    if limit is None:
        left, kind, limit = right, TURNED[kind], number(graph, left)
    return None if limit is None or left in graph.constants else (left, kind in ("gt", "ge"), limit)
