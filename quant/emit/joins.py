"""Two values that become one: sums, differences, and values beside each other."""

from __future__ import annotations

import operator as python_operator

from torch import fx

from quant.emit.builder import Builder, Stored
from quant.emit.frames import moved, select, whole
from quant.graph.graph import Node
from quant.graph.ops.elementwise import Binary
from quant.graph.ops.views import Concat
from sim.errors import InputError

__all__ = ["add", "concat"]


def add(builder: Builder, node: Node) -> Stored:
    """Emit the sum or the difference of two values of one shape."""
    assert isinstance(node.operator, Binary)
    shapes = [builder.shapes[name] for name in node.inputs]
    if shapes[0] != shapes[1]:
        raise InputError(f"{node.operator.title} {node.place} adds shapes {shapes[0]} and {shapes[1]} per image; the "
                         "chip adds tensors of one shape")
    left, right = builder.stored(node, 0), builder.stored(node, 1)
    first, second, flipped = _aligned(builder, node, left, right)
    one, other = first.node, second
    if flipped:
        one, other = other, one
    function = python_operator.sub if node.operator.kind == "sub" else python_operator.add
    return Stored(builder.fx.call_function(function, (one, other)), first.layout, first.flat)


def concat(builder: Builder, node: Node) -> Stored:
    """Emit values beside each other: their channels are stored beside each other, whatever axis of them it is."""
    operator = node.operator
    assert isinstance(operator, Concat)
    values = [whole(builder, node, builder.stored(node, index)) for index in range(len(node.inputs))]
    if len({value.layout.stored[1:] for value in values}) > 1:
        raise moved(node)
    flat = all(value.flat for value in values)
    nodes = [value.node if flat else builder.as_map(value) for value in values]
    first, *others = [value.layout for value in values]
    return Stored(builder.cat(nodes), first.beside(others, operator.axis - 1), flat)


def _aligned(builder: Builder, node: Node, left: Stored, right: Stored) -> tuple[Stored, fx.Node, bool]:
    """Return one of two values, the node of the other one's numbers where those of the first are stored, and whether
    the first is the right one.
    """
    if left.flat and right.flat and left.layout.is_in_order and right.layout.is_in_order:
        return left, right.node, False
    for first, second, flipped in ((left, right, False), (right, left, True)):
        if first.layout.is_whole:
            try:
                return (Stored(builder.as_map(first), first.layout), _seen_from(builder, node, first, second), flipped)
            except InputError:
                continue
    first, second = (whole(builder, node, value) for value in (left, right))
    return Stored(builder.as_map(first), first.layout), _seen_from(builder, node, first, second), False


def _seen_from(builder: Builder, node: Node, first: Stored, second: Stored) -> fx.Node:
    picked = second.layout.seen_from(first.layout).picked()
    if picked is None:
        raise moved(node)
    return select(builder, second, picked)

