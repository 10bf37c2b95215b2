"""Adaptive averages of unequal cells become part of the linear layer that reads them."""

from __future__ import annotations

from math import prod
from typing import cast

import torch

from quant.graph.graph import Graph, Node
from quant.graph.interpret import shapes
from quant.graph.ops.linear import Linear
from quant.graph.ops.pools import AdaptivePool
from quant.graph.ops.views import Reshape
from quant.graph.passes.rewriting import chain_before, operator_nodes, set_constant

__all__ = ["adaptive_into_linear"]


def adaptive_into_linear(graph: Graph) -> None:
    """Let a linear layer of whole images average over unequal cells: both are sums of products.

    VGG and AlexNet have such cells on images of other sizes than their own. Equal cells stay as they are.
    """
    sizes = shapes(graph)
    for node in operator_nodes(graph, Linear):
        chain = chain_before(graph, node, Reshape, AdaptivePool)
        weight = graph.constants.get(node.inputs[1])
        if not chain or weight is None or not isinstance(chain[0].operator, AdaptivePool):
            continue
        shape = sizes.get(chain[0].inputs[0], ())
        rows = all(isinstance(each.operator, Reshape) for each in chain[1:]) and len(sizes[node.inputs[0]]) == 1
        if chain[0].operator.kind == "average" and rows and _is_uneven(chain[0].operator, shape):
            _fold(graph, node, chain, shape)


def _is_uneven(operator: AdaptivePool, shape: tuple[int, ...]) -> bool:
    return len(operator.size) == 2 and any(size % cells for size, cells in zip(shape[1:], operator.size, strict=True))


def _fold(graph: Graph, node: Node, chain: list[Node], shape: tuple[int, ...]) -> None:
    """Multiply the weights by the matrix of the averages."""
    operator = cast(AdaptivePool, chain[0].operator)
    weight = graph.constants[node.inputs[1]]
    pixels = prod(shape[1:])
    one_each = torch.eye(pixels, dtype=weight.dtype).reshape(pixels, 1, *shape[1:])
    averages = operator.compute(one_each).reshape(pixels, -1)
    cells = weight.reshape(len(weight), shape[0], -1)
    folded = torch.einsum("ocq,pq->ocp", cells, averages).reshape(len(weight), -1)
    flat = Node(Reshape((prod(shape),)), chain[0].inputs, chain[-1].output, chain[-1].place)
    graph.replace(chain, [flat])
    set_constant(graph, node, 1, folded)
