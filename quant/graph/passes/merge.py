"""Operators of one kind in a row become one."""

from __future__ import annotations

from math import inf
from typing import cast

from quant.graph.graph import Graph
from quant.graph.ops.elementwise import Binary, Clip
from quant.graph.ops.pools import Reduce
from quant.graph.ops.views import Reshape, Transpose
from quant.graph.passes.rewriting import made_by, number, operator_nodes, swap

__all__ = ["extremes_to_clips", "merge_clips", "merge_reductions", "merge_views"]


def extremes_to_clips(graph: Graph) -> None:
    """Make the maximum or minimum of a value and one number a `Clip`."""
    for node in operator_nodes(graph, Binary):
        kind = cast(Binary, node.operator).kind
        for value, other in (node.inputs, node.inputs[::-1]):
            end = number(graph, other)
            if kind in ("max", "min") and end is not None and value not in graph.constants:
                swap(graph, [node], Clip(end, inf) if kind == "max" else Clip(-inf, end), (value,))
                break


def merge_clips(graph: Graph) -> None:
    """Make one `Clip` of two in a row."""
    for node in operator_nodes(graph, Clip):
        before = made_by(graph, node, 0, Clip)
        if before is not None:
            first, second = cast(Clip, before.operator), cast(Clip, node.operator)
            low, high = (min(max(end, second.low), second.high) for end in (first.low, first.high))
            swap(graph, [before, node], Clip(low, high), before.inputs)


def merge_reductions(graph: Graph) -> None:
    """Make one `Reduce` of two in a row of the same kind, such as the mean of columns and then of rows."""
    for node in operator_nodes(graph, Reduce):
        before = made_by(graph, node, 0, Reduce)
        if before is None:
            continue
        first, second = cast(Reduce, before.operator), cast(Reduce, node.operator)
        if first.kind == second.kind and first.keep == second.keep:
            axes = set(first.axes)
            for axis in second.axes:  # counts what the first has left
                left = [place for place in range(axis + len(first.axes) + 1) if first.keep or place not in first.axes]
                axes.add(left[axis])
            swap(graph, [before, node], Reduce(first.kind, tuple(sorted(axes)), first.keep), before.inputs)


def merge_views(graph: Graph) -> None:
    """Make one `Reshape` of two in a row, and one `Transpose` of two."""
    for node in operator_nodes(graph, Reshape):
        before = made_by(graph, node, 0, Reshape)
        if before is not None:
            swap(graph, [before, node], node.operator, before.inputs)
    for node in operator_nodes(graph, Transpose):
        before = made_by(graph, node, 0, Transpose)
        if before is not None:
            first, second = cast(Transpose, before.operator), cast(Transpose, node.operator)
            swap(graph, [before, node], Transpose(tuple(first.order[axis] for axis in second.order)), before.inputs)
