"""Views: nothing is emitted, the numbers of a value are looked for elsewhere in what is stored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import fx

from quant.emit.builder import Builder, Stored, label
from quant.emit.host import Rearranged
from quant.graph.graph import Node
from quant.graph.layout import Layout
from quant.graph.ops.views import Gather, Pad, Reshape, Slice, Transpose
from quant.layers.arranged import Arranged
from quant.layers.view import View
from quant.trace.host import Host
from sim.errors import InputError

__all__ = ["as_given", "gather", "pad", "placed_input", "reshape", "slice_", "transpose"]


def reshape(builder: Builder, node: Node) -> Stored:
    """Take a value in another shape; a row of its own becomes a map."""
    assert isinstance(node.operator, Reshape)
    value, shape = builder.stored(node), node.operator.shape
    row = value.flat and value.layout.is_in_order and value.layout.stored[1:] == (1, 1)
    if row and len(shape) == 3 and shape != value.layout.stored:  # the numbers move on the machine
        return Stored(builder.call(f"{label(value.node)}_map", View(shape), value.node), Layout.in_order(shape))
    return Stored(value.node, value.layout.reshaped(shape), value.flat)


def transpose(builder: Builder, node: Node) -> Stored:
    """Take a value with its axes in another order."""
    assert isinstance(node.operator, Transpose)
    value = builder.stored(node)
    return Stored(value.node, value.layout.transposed([axis - 1 for axis in node.operator.order[1:]]), value.flat)


def slice_(builder: Builder, node: Node) -> Stored:
    """Take some places of an axis."""
    operator = node.operator
    assert isinstance(operator, Slice)
    value = builder.stored(node)
    places = range(operator.start, operator.stop, operator.step)
    return Stored(value.node, value.layout.taken(operator.axis - 1, places), value.flat)


def gather(builder: Builder, node: Node) -> Stored:
    """Take places of an axis in an order."""
    operator = node.operator
    assert isinstance(operator, Gather)
    value = builder.stored(node)
    return Stored(value.node, value.layout.taken(operator.axis - 1, operator.indices), value.flat)


def pad(builder: Builder, node: Node) -> Stored:
    """Put zeros around a value."""
    operator = node.operator
    assert isinstance(operator, Pad)
    if operator.mode != "constant" or operator.value != 0:
        by = operator.mode if operator.mode != "constant" else f"{operator.value:g}"
        raise InputError(f"Pad {node.place} pads by {by}; the machine pads by zeros")
    value = builder.stored(node)
    return Stored(value.node, value.layout.padded(operator.pads), value.flat)


def placed_input(builder: Builder, node: fx.Node, shape: tuple[int, ...],
                 arrangement: NDArray[np.int64] | None = None) -> Stored:
    """Return an input of the network as it is stored, in the order of `arrangement` if there is one.

    Raises
    ------
    InputError
        If its images have no axis, or more than three.
    """
    if not 1 <= len(shape) <= 3:
        raise InputError(f"an image of input '{node.name}' must have 1 to 3 axes, such as (C, H, W), not shape {shape}")
    if arrangement is not None:
        arranged = Arranged(shape, arrangement)
        layout = Layout(arranged.shape, np.argsort(arrangement, None).reshape(shape))
        return Stored(builder.call(f"{node.name}_map", arranged, node), layout)
    layout = Layout.in_order(shape)
    if len(shape) == 2:
        node = builder.call(f"{node.name}_map", View(layout.stored), node)
    return Stored(node, layout, flat=len(shape) == 1)


def as_given(builder: Builder, value: Stored) -> fx.Node:
    """Return the node that makes a value in its own shape: another order of numbers is left to the host."""
    layout = value.layout
    if layout.is_in_order and len(layout.shape) == 1:
        return builder.row(value)
    if layout.is_in_order and Layout.in_order(layout.shape).stored == layout.stored and 1 <= len(layout.shape) <= 3:
        if len(layout.shape) == 3 and not value.flat:
            return value.node
        return builder.call(f"{label(value.node)}_view", View(layout.shape), value.node)
    return builder.call(f"{label(value.node)}_view", Host("view", Rearranged.of(layout)), value.node)
