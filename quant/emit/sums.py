"""Convolutions and matrix products as layers."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, fx, nn

from quant.emit.builder import Builder, Stored
from quant.emit.frames import Frame, channels_along, frame_of, is_part, stored_order, whole
from quant.emit.quantizers import quantized_layer
from quant.graph.graph import Node
from quant.graph.layout import ZERO, Layout, Pointwise
from quant.graph.ops.linear import Conv
from sim.ir.ops import Pads, out_size

__all__ = ["conv", "dense", "linear", "out_sizes", "pointwise", "symmetric"]


def conv(builder: Builder, node: Node) -> Stored:
    """Emit a convolution of maps or sequences."""
    operator = node.operator
    assert isinstance(operator, Conv)
    weight, bias = _parameters(builder, node)
    frame = frame_of(builder, node, builder.stored(node), operator.pads)
    weight = weight[..., None] if weight.ndim == 3 else weight
    weight = weight.transpose(2, 3) if frame.swapped else weight
    kernel = int(weight.shape[2]), int(weight.shape[3])
    dilation = frame.pair(operator.dilation, 1)
    weight, bias, made, source = _in_order(builder, frame, weight, bias, operator.groups)
    reach = dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1
    stride = frame.pair(operator.stride, 1)
    out = out_sizes(_padded(frame), reach, stride)
    pads, before = symmetric(frame.pads)
    if before:
        source = builder.call(f"{builder.name(node)}_pad", nn.ZeroPad2d(before), source)
    layer = nn.Conv2d(weight.shape[1] * operator.groups, len(weight), kernel, stride, pads, dilation, operator.groups,
                      bias is not None, device="meta")
    found = builder.call(builder.name(node), _given(builder, node, layer, weight, bias), source)
    return frame.made(found, made, out)


def linear(builder: Builder, node: Node) -> Stored:
    """Emit a matrix product: of rows as a linear layer, of tokens as a convolution of 1 x 1 pixels."""
    weight, bias = _parameters(builder, node)
    value = builder.stored(node)
    if len(value.layout.shape) == 1:
        if is_part(value.layout) or node.inputs[1] in builder.graph.steps:
            return dense(builder, node, whole(builder, node, value), weight, bias)
        return dense(builder, node, *_over_all(value, weight), bias)
    return pointwise(builder, node, weight, bias, len(value.layout.shape) - 1)


def dense(builder: Builder, node: Node, value: Stored, weight: Tensor, bias: Tensor | None) -> Stored:
    """Emit a linear layer of rows, whose numbers may be stored in another order."""
    weight = stored_order(weight, [int(place) for place in value.layout.places], axis=1)
    layer = nn.Linear(weight.shape[1], len(weight), bias is not None, device="meta")
    return Stored(builder.call(builder.name(node), _given(builder, node, layer, weight, bias), builder.row(value)),
                  Layout.in_order((len(weight),)), flat=True)


def pointwise(builder: Builder, node: Node, weight: Tensor, bias: Tensor | None, axis: int) -> Stored:
    """Emit a matrix product along an axis of the images, which counts channels."""
    value, found = channels_along(builder, node, builder.stored(node), axis)
    weight = stored_order(weight, found.channels, axis=1)[..., None, None]
    layer = nn.Conv2d(weight.shape[1], len(weight), 1, bias=bias is not None, device="meta")
    made = builder.call(builder.name(node), _given(builder, node, layer, weight, bias), builder.as_map(value))
    stored = (len(weight), *value.layout.stored[1:])
    return Stored(made, Layout.by_channels(Pointwise(tuple(range(len(weight))), found.pixels), axis, stored))


def symmetric(pads: Pads) -> tuple[tuple[int, int], tuple[int, int, int, int] | None]:
    """Return (vertical, horizontal) pads of a layer and, for uneven ones, what is padded before it instead."""
    top, left, bottom, right = pads
    if (top, left) == (bottom, right):
        return (top, left), None
    return (0, 0), (left, right, top, bottom)


def out_sizes(size: tuple[int, int], reach: tuple[int, int], strides: tuple[int, int]) -> tuple[int, int]:
    """Return the places that come out where a window slides.

    Parameters
    ----------
    size, reach, strides : (vertical, horizontal)
        What the window slides over, with pads; what it covers; how far it goes each time [pixels].
    """
    rows, columns = (out_size(*numbers) for numbers in zip(size, (0, 0), (0, 0), reach, strides, strict=True))
    return rows, columns


def _in_order(builder: Builder, frame: Frame, weight: Tensor, bias: Tensor | None,
              groups: int) -> tuple[Tensor, Tensor | None, Sequence[int], fx.Node]:
    """Return weights and bias for channels as they are stored, the stored place of each that comes out, and the map."""
    outputs = list(range(len(weight)))
    if not frame.is_shuffled:
        return weight, bias, outputs, frame.node
    if groups == 1:
        return stored_order(weight, frame.channels, axis=1), bias, outputs, frame.node
    if groups != len(frame.channels):
        return weight, bias, outputs, builder.select(frame.node, frame.channels, None, None)
    each = len(weight) // groups
    made = [channel * each + place for channel in frame.channels for place in range(each)]
    return stored_order(weight, made), None if bias is None else stored_order(bias, made), made, frame.node


def _over_all(value: Stored, weight: Tensor) -> tuple[Stored, Tensor]:
    """Return all that is stored of a row, in order, and weights for it: 0 for numbers that the row does not have."""
    places = torch.from_numpy(value.layout.places)
    kept, count = places != ZERO, prod(value.layout.stored)
    columns = weight.new_zeros(len(weight), count).index_add(1, places[kept], weight[:, kept])
    return Stored(value.node, Layout.in_order((count,), value.layout.stored), value.flat), columns


def _parameters(builder: Builder, node: Node) -> tuple[Tensor, Tensor | None]:
    weight = builder.constant(node, 1, "weights")
    return weight, builder.constant(node, 2, "bias") if len(node.inputs) > 2 else None


def _padded(frame: Frame) -> tuple[int, int]:
    top, left, bottom, right = frame.pads
    return frame.size[0] + top + bottom, frame.size[1] + left + right


def _given(builder: Builder, node: Node, layer: nn.Conv2d | nn.Linear, weight: Tensor,
           bias: Tensor | None) -> nn.Module:
    """Give a layer its own copy of parameters, and the codes that another tool has chosen for its weights."""
    layer.weight = nn.Parameter(weight.clone(memory_format=torch.contiguous_format))
    if bias is not None:
        layer.bias = nn.Parameter(bias.clone())
    steps = builder.graph.steps.get(node.inputs[1]) if len(node.inputs) > 1 else None
    return layer if steps is None else quantized_layer(layer, steps, node)
