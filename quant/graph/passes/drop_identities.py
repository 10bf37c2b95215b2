"""Operators that change nothing are taken out."""

from __future__ import annotations

from math import inf

from quant.graph.graph import Graph, Node
from quant.graph.interpret import shapes
from quant.graph.ops.elementwise import Clip, Unary
from quant.graph.ops.linear import Affine
from quant.graph.ops.pools import AdaptivePool, AveragePool, MaxPool
from quant.graph.ops.views import Concat, Gather, Pad, Reshape, Slice, Transpose
from quant.graph.passes.rewriting import bypass, number

__all__ = ["drop_identities"]


def drop_identities(graph: Graph) -> None:
    """Take out operators whose value is their operand: identities, whole slices, pads of nothing, x * 1 + 0."""
    sizes = shapes(graph)
    for node in graph.nodes:
        if node.inputs and _is_identity(graph, node, sizes.get(node.inputs[0])):
            bypass(graph, graph.maker(node.output) or node)


def _is_identity(graph: Graph, node: Node, shape: tuple[int, ...] | None) -> bool:
    operator = node.operator
    if shape is None:
        return False
    if isinstance(operator, Unary | Clip | Concat):
        return operator in (Unary("identity"), Clip(-inf, inf)) or (isinstance(operator, Concat)
                                                                   and len(node.inputs) == 1)
    if isinstance(operator, Affine):
        return number(graph, node.inputs[1]) == 1 and number(graph, node.inputs[2]) == 0
    if isinstance(operator, Reshape):
        return operator.shape == shape
    if isinstance(operator, Transpose):
        return operator.order == tuple(range(len(operator.order)))
    if isinstance(operator, Slice):
        return range(operator.start, operator.stop, operator.step) == range(shape[operator.axis - 1])
    if isinstance(operator, Gather):
        return operator.indices == tuple(range(shape[operator.axis - 1]))
    if isinstance(operator, Pad):
        return not any(amount for pads in operator.pads for amount in pads)
    return _is_pool_of_one(operator, shape)


def _is_pool_of_one(operator: object, shape: tuple[int, ...]) -> bool:
    if isinstance(operator, AdaptivePool):
        return operator.size == shape[1:]
    if not isinstance(operator, MaxPool | AveragePool):
        return False
    ones = {*operator.kernel, *operator.stride} == {1} and not any(end for pads in operator.pads for end in pads)
    return ones and (isinstance(operator, MaxPool) or operator.divisor in (None, 1))
