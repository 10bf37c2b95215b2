"""What each kind of stage is on the chip: a convolution of integer weights, or a max pool."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn import functional

from quant.trace.averages import Cells, ShiftAverage, Window
from quant.trace.calls import arguments, where
from quant.trace.layers import QuantConv2d, QuantLinear
from quant.trace.padding import added
from quant.trace.shapes import shape_of
from quant.trace.stages import Stage, module_of
from sim.errors import InputError
from sim.ir.formats import Format
from sim.ir.ops import Pads, out_size
from sim.ir.ops import Tensor as Map

__all__ = ["Operator", "average_of", "conv_pads", "max_pool_window", "operator_of", "problems"]

UNIT = Format(1, "unit")


@dataclass(frozen=True, eq=False)
class Operator:
    """y = step * (sum of codes * input) + bias, all per output channel.

    Attributes
    ----------
    codes : int8 array, shape (O, C / groups, kh, kw)
        What the weights mean: -1 and 1 for bipolar ones.
    format : Format
        How the chip stores them.
    step, bias : float64 arrays, shape (O,)
        Value of one weight code, and what is added afterwards.
    groups, stride, dilation, pads
        As in `sim.ir.conv.Conv`.
    """

    codes: NDArray[np.int8]
    format: Format
    step: NDArray[np.float64]
    bias: NDArray[np.float64]
    groups: int = 1
    stride: int = 1
    dilation: int = 1
    pads: Pads = (0, 0, 0, 0)

    @property
    def stored(self) -> NDArray[np.int8]:
        """The codes as a `Conv` keeps them: bits for bipolar ones."""
        return (self.codes + 1) // 2 if self.format.kind == "bipolar" else self.codes


def problems(graph: fx.GraphModule, stage: Stage) -> Iterator[str]:
    """Yield every option of a stage's layer that has no counterpart on the chip, as far as shapes are known."""
    node, at = stage.compute, where(stage.compute)
    if stage.kind == "conv":
        yield from _conv_problems(cast(nn.Conv2d, module_of(graph, node)), at)
    elif stage.kind == "linear":
        shape = _read_shape(node)
        if shape is not None and len(shape) != 2:
            yield f"Linear {at} reads shape {shape}; flatten each image to one row first"
    elif stage.kind in ("average", "max"):
        pool = _pool_of(graph, node)
        if isinstance(pool, Cells):
            yield from _cell_problems(pool, node, at)
        elif isinstance(pool, ShiftAverage):
            return
        elif pool is None:
            yield f"mean {at} must be over the axes 2 and 3 of a map"
        else:
            yield from _window_problems(pool, node, at)


def operator_of(graph: fx.GraphModule, stage: Stage, source: Map) -> Operator:
    """Return the operator of a conv, linear, average or copy stage without `problems`, reading a tensor like `source`.

    Raises
    ------
    InputError
        If weights are not quantized.
    """
    if stage.kind == "copy":
        return _average(source, (1, 1), 1, 1.0, (0, 0, 0, 0))
    if stage.kind == "average":
        return _average_of(graph, stage.compute, source)
    module, at = module_of(graph, stage.compute), where(stage.compute)
    if isinstance(module, QuantConv2d):
        return _conv(module, conv_pads(graph, stage))
    if isinstance(module, QuantLinear):
        codes, fmt, step = _weights(module)
        return Operator(codes.reshape(len(codes), *source.shape), fmt, step, _bias(module))
    raise InputError(f"the weights of {type(module).__name__} {at} are not quantized")


def max_pool_window(graph: fx.GraphModule, node: fx.Node) -> tuple[tuple[int, int], int, Pads]:
    """Return (kernel, stride, pads) of a max pool, module or function, that has no `problems`."""
    pool = cast(nn.MaxPool2d, _pool_of(graph, node))
    return _pair(pool.kernel_size), _pair(pool.stride)[0], _pads(pool.padding)


def conv_pads(graph: fx.GraphModule, stage: Stage) -> Pads:
    """Return the pads (top, left, bottom, right) of a conv stage that has no `problems`."""
    return added(_pads(cast(nn.Conv2d, module_of(graph, stage.compute)).padding), stage.pads)


def _conv_problems(conv: nn.Conv2d, at: str) -> Iterator[str]:
    if conv.padding_mode != "zeros":
        yield f"Conv2d {at} pads by {conv.padding_mode}; only zeros are supported"
    if isinstance(conv.padding, str):
        yield f"Conv2d {at} has padding '{conv.padding}'; give numbers"
    yield from _unequal(conv.stride, "stride", at)
    yield from _unequal(conv.dilation, "dilation", at)


def _window_problems(pool: nn.MaxPool2d | nn.AvgPool2d, node: fx.Node, at: str) -> Iterator[str]:
    name = type(pool).__name__
    if isinstance(pool, nn.MaxPool2d):
        if _pair(pool.dilation) != (1, 1):
            yield f"MaxPool2d {at} has dilation {pool.dilation}; only 1 is supported"
    elif not pool.count_include_pad and any(_pads(pool.padding)):
        yield f"AvgPool2d {at} leaves padding out of its count; only count_include_pad=True is supported"
    elif pool.divisor_override is not None and pool.divisor_override < 1:
        yield f"AvgPool2d {at} has divisor_override {pool.divisor_override}; only positive ones are supported"
    yield from _unequal(pool.stride, "stride", at)
    shape = _read_shape(node)
    if pool.ceil_mode and shape is not None and shape_of(node) != _floor_shape(pool, shape):
        yield (f"{name} {at} has ceil_mode, which adds windows that reach beyond a map of {shape[2]} x {shape[3]}; "
               "only sizes where it changes nothing are supported")


def _floor_shape(pool: nn.MaxPool2d | nn.AvgPool2d, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that a pool would give without ceil_mode."""
    sizes = zip(shape[2:], _pair(pool.padding), _pair(pool.kernel_size), _pair(pool.stride), strict=True)
    return (*shape[:2], *(out_size(size, pad, pad, kernel, stride) for size, pad, kernel, stride in sizes))


def _cell_problems(cells: Cells, node: fx.Node, at: str) -> Iterator[str]:
    shape = _read_shape(node)
    if shape is not None and cells.window(shape[2:]) is None:
        counts = cells.counts(shape[2:])
        yield (f"adaptive average pool {at} makes {counts[0]} x {counts[1]} of {shape[2]} x {shape[3]}; only square "
               "cells of a whole size or one cell along an axis are supported")


def _conv(conv: QuantConv2d, pads: Pads) -> Operator:
    codes, fmt, step = _weights(conv)
    groups = conv.groups
    if groups > 1 and not groups == conv.in_channels == conv.out_channels:
        codes, groups = _dense(codes, groups), 1
    return Operator(codes, fmt, step, _bias(conv), groups, conv.stride[0], conv.dilation[0], pads)


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
    return Window(kernel, _pair(window.stride)[0], _pair(window.padding),
                  window.divisor_override or kernel[0] * kernel[1])


def _pool_of(graph: fx.GraphModule, node: fx.Node) -> nn.MaxPool2d | nn.AvgPool2d | ShiftAverage | Cells | None:
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


def _average(source: Map, kernel: tuple[int, int], stride: int, weight: float, pads: Pads) -> Operator:
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


def _unequal(value: Any, what: str, at: str) -> Iterator[str]:
    vertical, horizontal = _pair(value)
    if vertical != horizontal:
        yield f"{what} {at} must be the same along both axes, not {(vertical, horizontal)}"


def _pads(value: Any) -> Pads:
    vertical, horizontal = _pair(value)
    return vertical, horizontal, vertical, horizontal
