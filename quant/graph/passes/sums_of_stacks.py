"""Sums and means over values that were stacked for it are sums of these values."""

from __future__ import annotations

from typing import cast

import torch

from quant.graph.graph import Graph, Node
from quant.graph.interpret import shapes
from quant.graph.ops.elementwise import Binary
from quant.graph.ops.pools import Reduce
from quant.graph.ops.views import Concat, Reshape
from quant.graph.passes.rewriting import operator_nodes

__all__ = ["sums_of_stacks"]


def sums_of_stacks(graph: Graph) -> None:
    """Add values that are stacked along an axis of their own and summed or averaged over it, in place."""
    sizes: dict[str, tuple[int, ...]] | None = None
    for node in operator_nodes(graph, Reduce):
        stack = graph.maker(node.inputs[0])
        if stack is None or not isinstance(stack.operator, Concat) or len(stack.inputs) < 2:
            continue
        sizes = sizes or shapes(graph)
        values = _stacked(graph, stack, cast(Reduce, node.operator))
        if values and all(sizes.get(value) == sizes.get(node.output, ()) for value in values):
            graph.replace([node], _sum(graph, node, values))


def _stacked(graph: Graph, stack: Node, over: Reduce) -> list[str]:
    """Return the values that a stack joins for this reduction, none if it is something else."""
    if over.kind not in ("mean", "sum") or over.keep or over.axes != (cast(Concat, stack.operator).axis,):
        return []
    views = [graph.maker(name) for name in stack.inputs]
    found = [view.inputs[0] for view in views if view is not None and isinstance(view.operator, Reshape)
             and view.operator.shape[over.axes[0] - 1] == 1]
    return found if len(found) == len(views) else []


def _sum(graph: Graph, node: Node, values: list[str]) -> list[Node]:
    """Return the nodes that make the value of `node` as a sum of these, or as their mean."""
    made: list[Node] = []
    total = values[0]
    for value in values[1:]:
        name = graph.fresh(f"{node.output}_{len(made) + 1}")
        made.append(Node(Binary("add"), (total, value), name, node.place))
        total = name
    share = graph.fresh(f"{node.output}.share")
    graph.constants[share] = torch.tensor(1 / len(values) if cast(Reduce, node.operator).kind == "mean" else 1.0)
    return [*made, Node(Binary("mul"), (total, share), node.output, node.place, node.name)]
