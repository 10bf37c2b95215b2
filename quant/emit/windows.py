"""Pools and reductions as layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import fx, nn

from quant.emit.builder import Builder, Stored
from quant.emit.frames import Frame, channels_along, frame_of, moved, whole
from quant.emit.sums import out_sizes, pointwise
from quant.graph.graph import Node
from quant.graph.layout import Layout, Pointwise
from quant.graph.ops.pools import AdaptivePool, AveragePool, MaxPool, Reduce
from quant.layers.pools import PaddedMax
from quant.layers.selection import Selection
from sim.errors import InputError
from sim.ir.ops import Pads

__all__ = ["adaptive_pool", "average_pool", "max_pool", "reduce"]


class Window(NamedTuple):
    """What slides over a map."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: Pads


def max_pool(builder: Builder, node: Node) -> Stored:
    """Emit the largest numbers of windows."""
    operator = node.operator
    assert isinstance(operator, MaxPool)
    frame = _padded_frame(builder, node)
    if set(frame.pair(operator.dilation, 1)) != {1}:
        raise InputError(f"MaxPool {node.place} has dilation {operator.dilation}; only 1 is supported")
    kernel, pads = frame.pair(operator.kernel, 1), _pads(frame, operator.pads)
    top, left, bottom, right = pads
    strides = frame.pair(operator.stride, 1)
    even = (operator.ceil or (top, left) == (bottom, right)) and 2 * top <= kernel[0] and 2 * left <= kernel[1]
    layer = (nn.MaxPool2d(kernel, strides, (top, left), ceil_mode=operator.ceil) if even
             else PaddedMax(kernel, strides, pads))
    return _slid(builder, node, frame, layer, Window(kernel, strides, pads), frame.node)


def average_pool(builder: Builder, node: Node) -> Stored:
    """Emit averages of windows that divide by one number."""
    operator = node.operator
    assert isinstance(operator, AveragePool)
    frame = _padded_frame(builder, node)
    kernel, pads = frame.pair(operator.kernel, 1), _pads(frame, operator.pads)
    divisor = operator.divisor
    if divisor is None:
        counts = operator.counts(torch.ones(1, 1, *builder.shapes[node.inputs[0]][1:])).round()
        if int(counts.min()) != int(counts.max()):
            raise InputError(f"AveragePool {node.place} divides by {int(counts.min())} to {int(counts.max())} numbers, "
                             "fewer at the border; the machine divides by one number everywhere: count the padding "
                             "(count_include_pad=True) and have no ceil_mode")
        divisor = int(counts.min())
    top, left, bottom, right = pads
    source, inner = frame.node, (top, left)
    if (top, left) != (bottom, right) or 2 * top > kernel[0] or 2 * left > kernel[1]:
        source, inner = builder.call(f"{builder.name(node)}_pad", Selection(pads=pads), source), (0, 0)
    override = None if divisor == kernel[0] * kernel[1] else divisor
    strides = frame.pair(operator.stride, 1)
    layer = nn.AvgPool2d(kernel, strides, inner, divisor_override=override)
    return _slid(builder, node, frame, layer, Window(kernel, strides, pads), source)


def adaptive_pool(builder: Builder, node: Node) -> Stored:
    """Emit one number for each of a few cells."""
    operator = node.operator
    assert isinstance(operator, AdaptivePool)
    frame = _padded_frame(builder, node)
    cells = frame.pair(operator.size, 1)
    windows = [found for size, count in zip(frame.size, cells, strict=True) if (found := _cells(size, count))]
    alike = len(windows) == len(cells)
    if operator.kind == "average" and (not alike or all(stride == kernel for kernel, stride in windows)):
        made = builder.call(builder.name(node), nn.AdaptiveAvgPool2d(cells), frame.node)
        return frame.made(made, frame.channels, cells)
    if not alike:
        raise InputError(f"AdaptivePool {node.place} makes {cells[0]} x {cells[1]} maxima of {frame.size[0]} x "
                         f"{frame.size[1]}; only cells of one size are supported")
    (rows, down), (columns, across) = windows
    kernel, strides = (rows, columns), (down, across)
    layer = nn.AvgPool2d(kernel, strides) if operator.kind == "average" else PaddedMax(kernel, strides)
    return _slid(builder, node, frame, layer, Window(kernel, strides, (0, 0, 0, 0)), frame.node)


def _cells(size: int, count: int) -> tuple[int, int] | None:
    """Return size and distance of `count` cells that an adaptive pool makes of an axis, None if they differ.

    >>> _cells(8, 4), _cells(8, 7), _cells(8, 3)
    ((2, 2), (2, 1), None)
    """
    starts = [place * size // count for place in range(count)]
    sizes = {-(-(place + 1) * size // count) - start for place, start in enumerate(starts)}
    steps = {later - start for start, later in pairwise(starts)} or {*sizes}
    return (sizes.pop(), steps.pop()) if len(sizes) == len(steps) == 1 else None


def reduce(builder: Builder, node: Node) -> Stored:
    """Emit an average, a sum or a maximum over whole axes."""
    operator = node.operator
    assert isinstance(operator, Reduce)
    axes, shape = [axis - 1 for axis in operator.axes], builder.shapes[node.inputs[0]]
    left = [axis for axis in range(len(shape)) if axis not in axes and shape[axis] > 1] or (
        [axis for axis, size in enumerate(shape) if size == 1][:1])  # one channel, whichever axis it is
    value = whole(builder, node, builder.stored(node))
    if len(left) <= 1:
        found = _over_pixels(builder, node, operator, value, left[0] if left else None)
    elif len(axes) == 1 and axes[0] > 0 and len(shape) == 3:
        found = _over_axis(builder, node, operator, value, axes[0])
    elif len(axes) == 1 and operator.kind in ("mean", "sum"):
        size = shape[axes[0]]
        weight = torch.full((1, size), 1 / size if operator.kind == "mean" else 1.0)
        found = pointwise(builder, node, weight, None, axes[0])
    elif axes == [0] and len(shape) == 3:
        raise InputError(f"Reduce {node.place} compares channels; the machine compares the pixels of one channel")
    else:
        raise moved(node)
    return Stored(found.node, found.layout.reshaped(builder.shapes[node.output]), found.flat)


def _over_pixels(builder: Builder, node: Node, operator: Reduce, value: Stored, axis: int | None) -> Stored:
    """Emit a reduction of all pixels of each channel."""
    if axis is None:
        raise moved(node)
    value, found = channels_along(builder, node, value, axis)
    stored = value.layout.stored
    made = builder.call(builder.name(node), _whole_axes(operator, node, (stored[1], stored[2])), builder.as_map(value))
    only = Pointwise(found.channels, found.pixels.ravel()[:1] * 0)
    return Stored(made, Layout.by_channels(only, 0, (stored[0], 1, 1)))


def _over_axis(builder: Builder, node: Node, operator: Reduce, value: Stored, axis: int) -> Stored:
    """Emit a reduction of the rows or of the columns of a map."""
    frame = frame_of(builder, node, value)
    over = frame.along(int(axis == 1), int(axis == 2))
    kernel = tuple(size if reduced else 1 for size, reduced in zip(frame.size, over, strict=True))
    made = builder.call(builder.name(node), _whole_axes(operator, node, (kernel[0], kernel[1])), frame.node)
    size = tuple(1 if reduced else extent for extent, reduced in zip(frame.size, over, strict=True))
    return frame.made(made, frame.channels, (size[0], size[1]))


def _whole_axes(operator: Reduce, node: Node, kernel: tuple[int, int]) -> nn.Module:
    """Return the layer that reduces whole rows or columns, with this window."""
    if operator.kind == "max":
        return PaddedMax(kernel, (1, 1))
    if operator.kind == "min":
        raise InputError(f"Reduce {node.place} takes minima; write -amax(-x)")
    return nn.AvgPool2d(kernel, 1, divisor_override=1 if operator.kind == "sum" else None)


def _padded_frame(builder: Builder, node: Node) -> Frame:
    """Return the frame of what a pool reads; zeros around it are numbers like others."""
    return frame_of(builder, node, whole(builder, node, builder.stored(node)))


def _pads(frame: Frame, pads: Sequence[tuple[int, int]]) -> Pads:
    (one, other), (two, another) = (*pads, (0, 0))[:2]
    (top, left), (bottom, right) = frame.along(one, two), frame.along(other, another)
    return top, left, bottom, right


def _slid(builder: Builder, node: Node, frame: Frame, layer: nn.Module, window: Window, source: fx.Node) -> Stored:
    """Emit a window that slides over a frame with pads."""
    top, left, bottom, right = window.pads
    size = out_sizes((frame.size[0] + top + bottom, frame.size[1] + left + right), window.kernel, window.strides)
    return frame.made(builder.call(builder.name(node), layer, source), frame.channels, size)
