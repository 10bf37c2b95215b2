"""What each kind of stage is on the machine: a convolution of integer weights, or a max pool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn import functional

from quant.layers.averages import Cells, ShiftAverage, Window
from quant.layers.bilinear import Bilinear
from quant.layers.pools import PaddedMax
from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.layers.selection import ZEROS, Selection
from quant.layers.steps import steps_of
from quant.layers.view import as_map
from quant.stages.enlarging import enlarging
from quant.stages.operator import UNIT, Operator, identity, moving
from quant.stages.padding import added
from quant.stages.stage import Stage
from quant.trace.calls import arguments, module_of, where
from quant.trace.shapes import shape_of
from sim.errors import InputError
from sim.ir.formats import Format
from sim.ir.ops import Pads, Steps, out_size
from sim.ir.ops import Tensor as Map

__all__ = ["average_of", "conv_pads", "max_pool_window", "operator_of", "problems"]

def problems(graph: fx.GraphModule, stage: Stage) -> Iterator[str]:
    """Yield every option of a stage's layer that has no counterpart on the machine, as far as shapes are known."""
    node, at = stage.compute, where(stage.compute)
    if stage.kind == "conv":
        yield from _conv_problems(cast(nn.Conv2d, module_of(graph, node)), node, at)
    elif stage.kind == "linear":
        shape = _read_shape(node)
        if shape is not None and len(shape) != 2:
            yield f"Linear {at} reads shape {shape}; flatten each image to one row first"
    elif stage.kind == "selection":
        yield from _selection_problems(module_of(graph, node), node, at)
    elif stage.kind in ("average", "max"):
        pool = _pool_of(graph, node)
        if isinstance(pool, Cells):
            yield from _cell_problems(pool, node, at)
        elif isinstance(pool, ShiftAverage | PaddedMax):
            return
        elif pool is None:
            yield f"mean {at} must be over the axes 2 and 3 of a map"
        else:
            yield from _window_problems(pool, node, at)


def operator_of(graph: fx.GraphModule, stage: Stage, source: Map) -> Operator:
    """Return the operator of a conv, linear, average or copy stage without `problems`, reading a tensor like `source`.

    Of a bilinear stage it is that of some of the pixels, whose sums mean the same as all others.

    Raises
    ------
    InputError
        If weights are not quantized.
    """
    if stage.kind == "copy":
        return identity(source.channels, dense=len(source.parts) > 1)
    if stage.kind == "average":
        return _average_of(graph, stage.compute, source)
    module, at = module_of(graph, stage.compute), where(stage.compute)
    if isinstance(module, Selection):
        return _selection(module, source)
    if isinstance(module, Bilinear):
        return next(enlarging(module, source))[0]
    if isinstance(module, QuantConv2d):
        return _conv(module, stage.compute, conv_pads(graph, stage))
    if isinstance(module, QuantLinear):
        codes, fmt, step = _weights(module)
        return Operator(codes.reshape(len(codes), *source.shape), fmt, step, _bias(module))
    raise InputError(f"the weights of {type(module).__name__} {at} are not quantized")


def max_pool_window(graph: fx.GraphModule, node: fx.Node) -> tuple[tuple[int, int], Steps, Pads]:
    """Return (kernel, stride, pads) of a max pool, module or function, that has no `problems`."""
    pool = cast(nn.MaxPool2d | PaddedMax, _pool_of(graph, node))
    if isinstance(pool, PaddedMax):
        return pool.kernel, _strides(pool.stride, node), pool.pads
    kernel, stride, pads = _pair(pool.kernel_size), _strides(pool.stride, node), _pads(pool.padding)
    return kernel, stride, _reaching_the_end(node, kernel, stride, pads) if pool.ceil_mode else pads


def _reaching_the_end(node: fx.Node, kernel: tuple[int, int], stride: Steps, pads: Pads) -> Pads:
    """Return pads of a max pool with which its last windows, those that ceil_mode adds, lie in the padded map."""
    read, made = cast("tuple[int, ...]", _read_shape(node))[2:], cast("tuple[int, ...]", shape_of(node))[2:]
    bottom, right = (max(around, step * (count - 1) + taps - size - around) for around, step, count, taps, size in zip(
        pads[:2], stride, made, kernel, read, strict=True))
    return *pads[:2], bottom, right


def conv_pads(graph: fx.GraphModule, stage: Stage) -> Pads:
    """Return the pads (top, left, bottom, right) of a conv stage that has no `problems`."""
    return added(_pads(cast(nn.Conv2d, module_of(graph, stage.compute)).padding), stage.pads)


def _conv_problems(conv: nn.Conv2d, node: fx.Node, at: str) -> Iterator[str]:
    if conv.padding_mode != "zeros":
        yield f"Conv2d {at} pads by {conv.padding_mode}; only zeros are supported"
    if isinstance(conv.padding, str):
        yield f"Conv2d {at} has padding '{conv.padding}'; give numbers"


def _window_problems(pool: nn.MaxPool2d | nn.AvgPool2d, node: fx.Node, at: str) -> Iterator[str]:
    if isinstance(pool, nn.MaxPool2d):
        if _pair(pool.dilation) != (1, 1):
            yield f"MaxPool2d {at} has dilation {pool.dilation}; only 1 is supported"
        return
    if not pool.count_include_pad and any(_pads(pool.padding)):
        yield f"AvgPool2d {at} leaves padding out of its count; only count_include_pad=True is supported"
    elif pool.divisor_override is not None and pool.divisor_override < 1:
        yield f"AvgPool2d {at} has divisor_override {pool.divisor_override}; only positive ones are supported"
    shape = _read_shape(node)
    if pool.ceil_mode and shape is not None and shape_of(node) != _floor_shape(pool, shape):
        yield (f"AvgPool2d {at} has ceil_mode, which adds windows that reach beyond a map of {shape[2]} x {shape[3]}; "
               "only sizes where it changes nothing are supported")


def _floor_shape(pool: nn.AvgPool2d, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that a pool would give without ceil_mode."""
    sizes = zip(shape[2:], _pair(pool.padding), _pair(pool.kernel_size), _pair(pool.stride), strict=True)
    return (*shape[:2], *(out_size(size, pad, pad, kernel, stride) for size, pad, kernel, stride in sizes))


def _cell_problems(cells: Cells, node: fx.Node, at: str) -> Iterator[str]:
    shape = _read_shape(node)
    if shape is not None and cells.window(shape[2:]) is None:
        counts = cells.counts(shape[2:])
        yield (f"adaptive average pool {at} makes {counts[0]} x {counts[1]} of {shape[2]} x {shape[3]}; only cells "
               "of a whole size are supported")


def _conv(conv: QuantConv2d, node: fx.Node, pads: Pads) -> Operator:
    codes, fmt, step = _weights(conv)
    groups, split = conv.groups, 1
    if groups > 1 and not groups == conv.in_channels == conv.out_channels:
        codes, groups, split = _dense(codes, groups), 1, groups
    dilation = steps_of(conv.dilation, conv.kernel_size, 1)
    return Operator(codes, fmt, step, _bias(conv), groups, _strides(conv.stride, node), dilation, pads, split)


def _weights(layer: QuantConv2d | QuantLinear) -> tuple[NDArray[np.int8], Format, NDArray[np.float64]]:
    quantizer = layer.weight_quantizer
    codes = quantizer.codes(layer.weight).numpy().astype(np.int8)
    return codes, quantizer.format, np.broadcast_to(_reals(quantizer.scale), len(codes)).copy()


def _bias(layer: nn.Conv2d | nn.Linear) -> NDArray[np.float64]:
    return np.zeros(len(layer.weight)) if layer.bias is None else _reals(layer.bias)


def _reals(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.detach().double().numpy()


def _dense(codes: NDArray[np.int8], groups: int) -> NDArray[np.int8]:
    """Return grouped weights as dense ones: zeros between channels of different groups."""
    outputs, inputs = len(codes) // groups, codes.shape[1]
    dense = np.zeros((len(codes), inputs * groups, *codes.shape[2:]), np.int8)
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        dense[rows, group * inputs:(group + 1) * inputs] = codes[rows]
    return dense


def average_of(graph: fx.GraphModule, node: fx.Node) -> Cells | Window:
    """Return what an average without `problems` does, whether module or function."""
    pool = _pool_of(graph, node)
    if isinstance(pool, ShiftAverage):
        return pool.average
    if isinstance(pool, Cells):
        return pool
    window = cast(nn.AvgPool2d, pool)
    kernel = _pair(window.kernel_size)
    return Window(kernel, _strides(window.stride, node), _pair(window.padding),
                  window.divisor_override or kernel[0] * kernel[1])


def _selection(selection: Selection, source: Map) -> Operator:
    """Return a convolution of 0/1 weights: depthwise where every channel stays what it is."""
    kernel, place, stride = selection.window((source.height, source.width))
    channels = selection.channels or tuple(range(source.channels))
    if channels == tuple(range(source.channels)) and len(source.parts) == 1:
        codes = np.zeros((source.channels, 1, *kernel), np.int8)
        codes[:, :, place[0], place[1]] = 1
        return moving(codes, groups=source.channels, stride=stride, pads=selection.pads)
    codes = np.zeros((len(channels), source.channels, *kernel), np.int8)
    for output, channel in enumerate(channels):
        if channel != ZEROS:
            codes[output, channel, place[0], place[1]] = 1
    return moving(codes, stride=stride, pads=selection.pads)


def _selection_problems(selection: nn.Module, node: fx.Node, at: str) -> Iterator[str]:
    shape = _read_shape(node)
    if shape is not None and isinstance(selection, Selection):
        try:
            selection.window(as_map(shape[1:])[1:])
        except InputError as error:
            yield f"selection {at}: {error}"


def _pool_of(graph: fx.GraphModule,
             node: fx.Node) -> nn.MaxPool2d | nn.AvgPool2d | PaddedMax | ShiftAverage | Cells | None:
    """Return what a pool does, whether module or function; None for a mean over other axes than those of maps."""
    if node.op == "call_module":
        module = module_of(graph, node)
        return Cells(module.output_size) if isinstance(module, nn.AdaptiveAvgPool2d) else cast(nn.MaxPool2d, module)
    if node.target is functional.adaptive_avg_pool2d:
        return Cells(arguments(node)["output_size"])
    if node.target in (torch.mean, "mean"):
        return Cells(1) if _is_mean_of_maps(node) else None
    return nn.MaxPool2d(**arguments(node))


def _average_of(graph: fx.GraphModule, node: fx.Node, source: Map) -> Operator:
    pool, average = _pool_of(graph, node), average_of(graph, node)
    window = average.window((source.height, source.width)) if isinstance(average, Cells) else average
    assert window is not None
    weight = pool.weight(window) if isinstance(pool, ShiftAverage) else 1.0 / window.divisor
    return _average(source, window.kernel, window.stride, weight, _pads(window.padding))


def _average(source: Map, kernel: tuple[int, int], stride: Steps, weight: float, pads: Pads) -> Operator:
    channels = source.channels
    return Operator(np.ones((channels, 1, *kernel), np.int8), UNIT, np.full(channels, weight),
                    np.zeros(channels), groups=channels, stride=stride, pads=pads)


def _is_mean_of_maps(node: fx.Node) -> bool:
    """Return whether a mean reduces the last two of four axes; without a shape it has four."""
    rank = len(_read_shape(node) or (0,) * 4)
    axes = arguments(node).get("dim") or ()
    counted = axes if isinstance(axes, list | tuple) else [axes]
    return rank == 4 and sorted(int(axis) % rank for axis in counted) == [2, 3]


def _read_shape(node: fx.Node) -> tuple[int, ...] | None:
    return shape_of(cast(fx.Node, node.args[0]))


def _pair(value: Any) -> tuple[int, int]:
    first, second = value if isinstance(value, tuple | list) else (value, value)
    return int(first), int(second)


def _strides(stride: Any, node: fx.Node) -> Steps:
    """Return the strides of a layer."""
    given = _pair(stride)
    return steps_of(given, (shape_of(node) or (0,) * 4)[2:], min(given))


def _pads(value: Any) -> Pads:
    vertical, horizontal = _pair(value)
    return vertical, horizontal, vertical, horizontal
