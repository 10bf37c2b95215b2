"""Products with constant matrices become linear layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from quant.graph.graph import Graph, Node
from quant.graph.interpret import shapes
from quant.graph.ops.linear import Linear, MatMul
from quant.graph.ops.views import Reshape, Transpose
from quant.graph.passes.rewriting import operator_nodes, swap

__all__ = ["matmul_to_linear"]


def matmul_to_linear(graph: Graph) -> None:
    """Make x @ W a `Linear`, and W @ x one between two transposes, where W is a constant matrix or vector."""
    sizes = shapes(graph)
    for node in operator_nodes(graph, MatMul):
        left, right = node.inputs
        if right in graph.constants and graph.constants[right].ndim == 1:
            _vector(graph, node, sizes)
        elif right in graph.constants and graph.constants[right].ndim == 2:
            weight = _transposed(graph, node, right)
            swap(graph, [node], Linear(), (left, weight))
        elif left in graph.constants and graph.constants[left].ndim == 2 and len(sizes.get(right, ())) >= 2:
            _from_the_left(graph, node, len(sizes[right]) + 1)


def _vector(graph: Graph, node: Node, sizes: Mapping[str, tuple[int, ...]]) -> None:
    left, right = node.inputs
    if node.output not in sizes:
        return
    weight = right if graph.reads_alone(node, right) else graph.fresh(right)
    graph.constants[weight] = graph.constants[right][None]
    made = graph.fresh(f"{node.output}.product")
    graph.replace([node], [Node(Linear(), (left, weight), made, node.place, node.name),
                           Node(Reshape(sizes[node.output]), (made,), node.output, node.place)])


def _from_the_left(graph: Graph, node: Node, rank: int) -> None:
    left, right = node.inputs
    order = (*range(rank - 2), rank - 1, rank - 2)
    turned, made = graph.fresh(f"{node.output}.turned"), graph.fresh(f"{node.output}.product")
    graph.replace([node], [Node(Transpose(order), (right,), turned, node.place),
                           Node(Linear(), (turned, left), made, node.place, node.name),
                           Node(Transpose(order), (made,), node.output, node.place)])


def _transposed(graph: Graph, node: Node, name: str) -> str:
    """Return the name of a constant matrix with rows and columns exchanged; it stays a layer's weight."""
    new = name if graph.reads_alone(node, name) else graph.fresh(name)
    graph.constants[new] = graph.constants[name].T
    if (found := graph.steps.get(name)) is not None:
        graph.steps[new] = replace(found, step=found.step.T if found.step.ndim == 2 else found.step)
    return new
