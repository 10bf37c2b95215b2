"""What each number becomes by itself: activations, BatchNorms, constants that multiply and add."""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor, fx, nn

from quant.emit.builder import Builder, Stored
from quant.emit.frames import channels_along, stored_order, whole
from quant.emit.quantizers import index_of
from quant.graph.graph import Node
from quant.graph.ops.elementwise import Clip, HardSigmoid
from quant.graph.ops.linear import Affine, BatchNorm
from quant.layers.affine import Affine as AffineLayer
from quant.layers.clamp import Clamp
from quant.layers.function import Function, QuantFunction
from sim.errors import InputError

__all__ = ["affine", "batch_norm", "clip", "function", "hard_sigmoid", "scaled"]


def clip(builder: Builder, node: Node) -> Stored:
    """Emit an activation with two ends, as a ReLU where it is one."""
    operator = node.operator
    assert isinstance(operator, Clip)
    if operator.low > operator.high:
        raise InputError(f"Clip {node.place} has a lower end of {operator.low:g} above its upper one, "
                         f"{operator.high:g}, so that all of its values are the same")
    value = whole(builder, node, builder.stored(node))
    return Stored(_clamped(builder, node, value.node, operator), value.layout, value.flat)


def hard_sigmoid(builder: Builder, node: Node) -> Stored:
    """Emit a line between two ends as its multiplication and its clamp."""
    operator = node.operator
    assert isinstance(operator, HardSigmoid)
    value = scaled(builder, f"{builder.name(node)}_line", whole(builder, node, builder.stored(node)),
                   torch.tensor(operator.alpha), torch.tensor(operator.beta))
    return Stored(_clamped(builder, node, value.node, Clip(0.0, 1.0)), value.layout)


def batch_norm(builder: Builder, node: Node) -> Stored:
    """Emit a BatchNorm of maps, sequences or rows."""
    operator = node.operator
    assert isinstance(operator, BatchNorm)
    given = [builder.constant(node, index, what) for index, what in enumerate(
        ("gains", "shifts", "means", "variances"), 1)]
    value, found = channels_along(builder, node, builder.stored(node), 0)
    gain, shift, mean, variance = (stored_order(numbers, found.channels) for numbers in given)
    layer = nn.BatchNorm2d(len(gain), operator.eps, device="meta")
    layer.weight, layer.bias = nn.Parameter(gain.clone()), nn.Parameter(shift.clone())
    layer.running_mean, layer.running_var = mean.clone(), variance.clone()
    layer.num_batches_tracked = torch.tensor(0)
    return Stored(builder.call(builder.name(node), layer, builder.as_map(value)), value.layout)


def affine(builder: Builder, node: Node) -> Stored:
    """Emit constants that multiply and add, one for all numbers or one for each channel."""
    operator = node.operator
    assert isinstance(operator, Affine)
    gain, shift = builder.constant(node, 1, "gain"), builder.constant(node, 2, "shift")
    if gain.numel() == shift.numel() == 1:
        return scaled(builder, builder.name(node), whole(builder, node, builder.stored(node)), gain, shift)
    value, found = channels_along(builder, node, builder.stored(node), operator.axis - 1)
    gain, shift = (stored_order(numbers.expand(len(found.channels)), found.channels) for numbers in (gain, shift))
    return scaled(builder, builder.name(node), value, gain, shift)


def function(builder: Builder, node: Node) -> Stored:
    """Emit a function of each number."""
    value = whole(builder, node, builder.stored(node))
    layer = Function(node.operator.title.lower(), node.operator.compute)
    index = index_of(builder, value.node)
    layer = layer if index is None else QuantFunction(layer, index)
    return Stored(builder.call(builder.name(node), layer, value.node), value.layout, value.flat)


def scaled(builder: Builder, name: str, value: Stored, gain: Tensor, shift: Tensor) -> Stored:
    """Return gain * value + shift, with one number each or one for each stored channel."""
    channels = value.layout.stored[0]
    layer = AffineLayer(gain.reshape(-1).expand(channels), shift.reshape(-1).expand(channels))
    return Stored(builder.call(name, layer, builder.as_map(value)), value.layout)


def _clamped(builder: Builder, node: Node, value: fx.Node, ends: Clip) -> fx.Node:
    if ends.low == 0 and ends.high in (6.0, inf):
        return builder.call(builder.name(node), nn.ReLU() if ends.high == inf else nn.ReLU6(), value)
    return builder.call(builder.name(node), Clamp(ends.low, ends.high), value)
