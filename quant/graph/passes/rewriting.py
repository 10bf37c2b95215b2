"""What passes do to a graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from torch import Tensor

from quant.graph.graph import Graph, Node
from quant.graph.ops.operator import Operator

__all__ = ["LONGEST_CHAIN", "bypass", "chain_before", "made_by", "number", "operator_nodes", "set_constant", "swap"]

LONGEST_CHAIN = 64
"""How many nodes are looked back at: that bounds the time that a network of chains can take."""


def operator_nodes(graph: Graph, *kinds: type[Operator]) -> Iterator[Node]:
    """Yield the nodes with these operators that are still there when their turn comes."""
    for name in [node.output for node in graph.nodes if isinstance(node.operator, kinds)]:
        node = graph.maker(name)
        if node is not None and isinstance(node.operator, kinds):
            yield node


def made_by(graph: Graph, reader: Node, index: int, *kinds: type[Operator]) -> Node | None:
    """Return the node that makes an operand, if it has one of these operators and `reader` alone reads it, once."""
    maker = graph.maker(reader.inputs[index])
    alone = maker is not None and isinstance(maker.operator, kinds) and graph.reads_alone(reader, maker.output)
    return maker if alone else None


def swap(graph: Graph, old: list[Node], operator: Operator, inputs: tuple[str, ...], *, of: Node | None = None) -> Node:
    """Put one node, named and placed as `of` or else the last one, in the place of nodes of which the last gives what
    it gives.
    """
    like = of or old[-1]
    made = Node(operator, inputs, old[-1].output, like.place, like.name)
    graph.replace(old, [made])
    return made


def bypass(graph: Graph, node: Node) -> None:
    """Take out a node that passes on its first operand; what is returned by that name stays returned by it."""
    graph.remove(node)
    graph.redirect(node.output, node.inputs[0])


def number(graph: Graph, name: str) -> float | None:
    """Return a constant that is one number, None for anything else."""
    value = graph.constants.get(name)
    return None if value is None or prod(value.shape) != 1 else float(value)


def set_constant(graph: Graph, node: Node, index: int, value: Tensor) -> Node:
    """Give a node a constant as operand `index`, under the name of the present one where only this node reads it."""
    layer = node.inputs[1].rpartition(".")[0] or node.output
    name = node.inputs[index] if index < len(node.inputs) else f"{layer}.bias"
    if index >= len(node.inputs) or not graph.reads_alone(node, name):
        name = graph.fresh(name)
    graph.constants[name] = value
    made = replace(node, inputs=(*node.inputs[:index], name, *node.inputs[index + 1:]))
    graph.replace([node], [made])
    return made


def chain_before(graph: Graph, node: Node, *kinds: type[Operator]) -> list[Node]:
    """Return the nodes with these operators that lead to the first operand of a node, each read by the next alone; of
    a long chain the last ones.
    """
    found: list[Node] = []
    while len(found) < LONGEST_CHAIN and (maker := made_by(graph, found[0] if found else node, 0, *kinds)) is not None:
        found.insert(0, maker)
    return found
