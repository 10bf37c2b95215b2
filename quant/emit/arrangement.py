"""How the host must arrange an input, where views before the first layer put channels, rows and columns elsewhere."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from quant.emit.frames import is_framed
from quant.graph.graph import Graph, Input, Node
from quant.graph.layout import Layout
from quant.graph.ops.elementwise import Clip, HardSigmoid
from quant.graph.ops.linear import Affine, BatchNorm, Conv, Linear
from quant.graph.ops.operator import Operator
from quant.graph.ops.pools import AdaptivePool, AveragePool, MaxPool
from quant.graph.ops.views import Gather, Pad, Reshape, Slice, Transpose

__all__ = ["arrangement"]

WINDOWS = (Conv, MaxPool, AveragePool, AdaptivePool)
ALONG_AXES = (Affine, BatchNorm, Clip, HardSigmoid, Gather, Pad, Slice)
"""What leaves axes where they are."""


def arrangement(graph: Graph, given: Input) -> NDArray[np.int64] | None:
    """Return the map (C, H, W) of places in an image as which an input is best stored, None if that is its own order.

    The first layer that needs channels decides, if nothing but views stands before it.
    """
    if not 1 <= len(given.shape) <= 3:
        return None
    values: dict[str, Layout | None] = {given.name: Layout.in_order(given.shape)}
    for node in graph.nodes:
        read = next((name for name in node.inputs if name in values), None)
        found = None if read is None else values[read]
        if read is None or found is None:
            continue
        axis = _channels(node.operator, len(found.shape))
        if axis is not None:
            return None if _fits(found, node.operator, axis) else _with_channels(found, axis)
        values[node.output] = _seen(found, node)
    return None


def _seen(found: Layout, node: Node) -> Layout | None:
    """Return the layout of what a node makes of a value, None if it is not known; parts and pads count as the whole."""
    operator = node.operator
    if isinstance(operator, Reshape) and prod(operator.shape) == found.places.size:
        return found.reshaped(operator.shape)
    if isinstance(operator, Transpose):
        return found.transposed([axis - 1 for axis in operator.order[1:]])
    return found if isinstance(operator, ALONG_AXES) else None


def _channels(operator: Operator, rank: int) -> int | None:
    """Return which axis of an image counts channels for an operator, None if it does not need any."""
    if isinstance(operator, WINDOWS):
        return 0
    return rank - 1 if isinstance(operator, Linear) and rank > 1 else None


def _fits(found: Layout, operator: Operator, axis: int) -> bool:
    return found.pointwise(axis) is not None and (not isinstance(operator, WINDOWS) or is_framed(found))


def _with_channels(found: Layout, axis: int) -> NDArray[np.int64] | None:
    """Return the places with channels first; of more than two other axes one is made."""
    places = np.moveaxis(found.places, axis, 0)
    rest = places.shape[1:] if places.ndim <= 3 else (prod(places.shape[1:]),)
    return places.reshape(len(places), *(*rest, 1, 1)[:2])
