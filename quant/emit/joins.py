"""Two values that become one: sums, differences, and values beside each other."""

from __future__ import annotations

import operator as python_operator
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import fx

from quant.emit.builder import Builder, Stored
from quant.emit.channelwise import scaled
from quant.emit.frames import is_part, moved, select, whole
from quant.graph.graph import Node
from quant.graph.layout import Layout
from quant.graph.ops.elementwise import Binary
from quant.graph.ops.views import Concat
from quant.stages.broadcast import spread_refusal
from sim.errors import InputError

__all__ = ["concat", "join"]


FUNCTIONS = {"add": python_operator.add, "sub": python_operator.sub, "mul": python_operator.mul}


def join(builder: Builder, node: Node) -> Stored:
    """Emit the sum, the difference or the product of two values, of which one may be repeated over the other."""
    assert isinstance(node.operator, Binary)
    if node.operator.kind not in FUNCTIONS:
        raise InputError(f"{node.operator.title} {node.place} joins two tensors, which the machine cannot do")
    function, shapes = FUNCTIONS[node.operator.kind], [builder.shapes[name] for name in node.inputs]
    if shapes[0] != shapes[1]:
        return _repeated(builder, node, function, shapes)
    left, right = builder.stored(node, 0), builder.stored(node, 1)
    first, second, flipped = _aligned(builder, node, left, right)
    one, other = first.node, second
    if flipped:
        one, other = other, one
    return Stored(builder.fx.call_function(function, (one, other)), first.layout, first.flat)


def _repeated(builder: Builder, node: Node, function: Callable[..., object], shapes: list[tuple[int, ...]]) -> Stored:
    """Emit what joins a value and one that has one number for each channel, or one channel."""
    made = builder.shapes[node.output]
    if made not in shapes or len(shapes[0]) != len(shapes[1]):
        raise spread_refusal(shapes, f"{node.operator.title} {node.place}")
    large = shapes.index(made)
    value, other = whole(builder, node, builder.stored(node, large)), builder.stored(node, 1 - large)
    seen = Layout(other.layout.stored, np.broadcast_to(other.layout.places, made)).seen_from(value.layout)
    for part in (seen.places[:, :1, :1], seen.places[:1]):
        if np.array_equal(np.broadcast_to(part, seen.places.shape), seen.places):
            picked = Layout(seen.stored, part).picked()
            if picked is not None:
                if large and node.operator == Binary("sub"):
                    value = scaled(builder, f"{builder.name(node)}_negated", value, *map(torch.tensor, (-1.0, 0.0)))
                    function = python_operator.add
                pair = builder.as_map(value), select(builder, other, picked)
                return Stored(builder.fx.call_function(function, pair), value.layout)
    raise spread_refusal(shapes, f"{node.operator.title} {node.place}")


def concat(builder: Builder, node: Node) -> Stored:
    """Emit values beside each other: their channels are stored beside each other, whatever axis of them it is."""
    operator = node.operator
    assert isinstance(operator, Concat)
    given = [builder.stored(node, index) for index in range(len(node.inputs))]
    if len({value.node for value in given}) == 1 and not all(is_part(value.layout) for value in given):
        places = np.concatenate([value.layout.places for value in given], operator.axis - 1)
        return replace(given[0], layout=replace(given[0].layout, places=places))
    values = [whole(builder, node, value) for value in given]
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

