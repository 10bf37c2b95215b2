"""What each kind of stage is on the chip: a convolution of integer weights, or a max pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn import functional

from quant.calls import arguments, where
from quant.graph import Stage, module_of
from quant.layers import QuantConv2d, QuantLinear
from sim.errors import InputError
from sim.formats import Format
from sim.records import Pads
from sim.records import Tensor as Map

__all__ = ["Operator", "max_pool_window", "operator_of"]

UNIT = Format(1, "unit")


@dataclass(frozen=True, eq=False)
class Operator:
    """y = step * (sum of codes * input) + bias, all per output channel.

    Attributes
    ----------
    codes : int8 array, shape (O, C or 1, kh, kw)
    format : Format
        Of the codes.
    step, bias : float64 arrays, shape (O,)
        Value of one weight code, and what is added behind.
    depthwise, stride, dilation, pads
        As in `sim.program.Conv`.
    """

    codes: NDArray[np.int8]
    format: Format
    step: NDArray[np.float64]
    bias: NDArray[np.float64]
    depthwise: bool = False
    stride: int = 1
    dilation: int = 1
    pads: Pads = (0, 0, 0, 0)


def operator_of(graph: fx.GraphModule, stage: Stage, source: Map) -> Operator:
    """The operator of a conv, linear, average or copy stage that reads a tensor like `source`.

    Raises
    ------
    InputError
        If weights are not quantized, or an option of the layer has no counterpart on the chip.
    """
    if stage.kind == "copy":
        return _average(source, (1, 1), 1, 1, (0, 0, 0, 0))
    if stage.kind == "average":
        return _average_of(graph, stage.compute, source)
    module, at = module_of(graph, stage.compute), where(stage.compute)
    if isinstance(module, QuantConv2d):
        return _conv(module, at)
    if isinstance(module, QuantLinear):
        return _linear(module, stage.compute, source, at)
    raise InputError(f"the weights of {type(module).__name__} {at} are not quantized")


def max_pool_window(graph: fx.GraphModule, node: fx.Node) -> tuple[tuple[int, int], int, Pads]:
    """(kernel, stride, pads) of a max pool, module or function.

    Raises
    ------
    InputError
        If it dilates, rounds its size up or returns indices.
    """
    pool = module_of(graph, node) if node.op == "call_module" else nn.MaxPool2d(**arguments(node))
    assert isinstance(pool, nn.MaxPool2d)
    at = where(node)
    _require(_pair(pool.dilation) == (1, 1), f"MaxPool2d {at} has dilation {pool.dilation}; only 1 is supported")
    _require(not pool.ceil_mode, f"MaxPool2d {at} has ceil_mode; pad at the bottom and right instead")
    _require(not pool.return_indices, f"MaxPool2d {at} returns indices, which the chip does not have")
    return _pair(pool.kernel_size), _one(pool.stride, "stride", at), _pads(pool.padding)


def _conv(conv: QuantConv2d, at: str) -> Operator:
    _require(conv.padding_mode == "zeros", f"Conv2d {at} pads by {conv.padding_mode}; only zeros are supported")
    _require(not isinstance(conv.padding, str), f"Conv2d {at} has padding '{conv.padding}'; give numbers")
    codes, fmt, step = _weights(conv)
    depthwise = conv.groups == conv.in_channels == conv.out_channels and conv.groups > 1
    if conv.groups > 1 and not depthwise:
        codes = _dense(codes, conv.groups)
    return Operator(codes, fmt, step, _bias(conv), depthwise, _one(conv.stride, "stride", at),
                    _one(conv.dilation, "dilation", at), _pads(cast(tuple[int, int], conv.padding)))


def _linear(linear: QuantLinear, node: fx.Node, source: Map, at: str) -> Operator:
    shape = tuple(cast(fx.Node, node.args[0]).meta["tensor_meta"].shape)
    _require(len(shape) == 2, f"Linear {at} reads shape {shape}; flatten each image to one row first")
    codes, fmt, step = _weights(linear)
    return Operator(codes.reshape(len(codes), *source.shape), fmt, step, _bias(linear))


def _weights(layer: QuantConv2d | QuantLinear) -> tuple[NDArray[np.int8], Format, NDArray[np.float64]]:
    quantizer = layer.weight_quantizer
    codes = quantizer.codes(layer.weight).numpy().astype(np.int8)
    return codes, quantizer.format, np.broadcast_to(_reals(quantizer.scale), len(codes)).copy()


def _bias(layer: nn.Conv2d | nn.Linear) -> NDArray[np.float64]:
    return np.zeros(len(layer.weight)) if layer.bias is None else _reals(layer.bias)


def _reals(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.detach().double().numpy()


def _dense(codes: NDArray[np.int8], groups: int) -> NDArray[np.int8]:
    """Grouped weights as dense ones: zeros between channels of different groups."""
    outputs, inputs = len(codes) // groups, codes.shape[1]
    dense = np.zeros((len(codes), inputs * groups, *codes.shape[2:]), np.int8)
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        dense[rows, group * inputs:(group + 1) * inputs] = codes[rows]
    return dense


def _average_of(graph: fx.GraphModule, node: fx.Node, source: Map) -> Operator:
    at = where(node)
    if node.target is functional.adaptive_avg_pool2d:
        return _adaptive_average(arguments(node)["output_size"], source, at)
    if node.op != "call_module":
        _require(_reduced_axes(node) == [2, 3], f"mean {at} must be over the axes 2 and 3 of a map")
        return _adaptive_average(1, source, at)
    module = module_of(graph, node)
    if isinstance(module, nn.AdaptiveAvgPool2d):
        return _adaptive_average(module.output_size, source, at)
    pool = cast(nn.AvgPool2d, module)
    kernel, pads = _pair(pool.kernel_size), _pads(pool.padding)
    _require(not pool.ceil_mode, f"AvgPool2d {at} has ceil_mode; pad at the bottom and right instead")
    _require(pool.count_include_pad or not any(pads),
             f"AvgPool2d {at} leaves padding out of its count; only count_include_pad=True is supported")
    return _average(source, kernel, _one(pool.stride, "stride", at), pool.divisor_override or kernel[0] * kernel[1],
                    pads)


def _adaptive_average(output_size: Any, source: Map, at: str) -> Operator:
    """Averages of equal cells that cover the map, output_size of them along each axis (None: as many as there are)."""
    size = source.height, source.width
    given = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
    cells = [extent if count is None else int(count) for extent, count in zip(size, given, strict=True)]
    kernel = size[0] // cells[0], size[1] // cells[1]
    strides = {step for step, count in zip(kernel, cells, strict=True) if count > 1} or {1}
    _require((kernel[0] * cells[0], kernel[1] * cells[1]) == size and len(strides) == 1,
             f"adaptive average pool {at} makes {cells[0]} x {cells[1]} of {size[0]} x {size[1]}; only square cells of "
             "a whole size or one cell along an axis are supported")
    return _average(source, kernel, strides.pop(), kernel[0] * kernel[1], (0, 0, 0, 0))


def _average(source: Map, kernel: tuple[int, int], stride: int, count: int, pads: Pads) -> Operator:
    channels = source.channels
    return Operator(np.ones((channels, 1, *kernel), np.int8), UNIT, np.full(channels, 1.0 / count),
                    np.zeros(channels), depthwise=True, stride=stride, pads=pads)


def _reduced_axes(node: fx.Node) -> list[int]:
    axes = arguments(node).get("dim") or ()
    rank = len(cast(fx.Node, node.args[0]).meta["tensor_meta"].shape)
    return sorted(int(cast(int, axis)) % rank for axis in (axes if isinstance(axes, list | tuple) else [axes]))


def _pair(value: Any) -> tuple[int, int]:
    first, second = value if isinstance(value, tuple | list) else (value, value)
    return int(first), int(second)


def _one(value: Any, what: str, at: str) -> int:
    vertical, horizontal = _pair(value)
    _require(vertical == horizontal, f"{what} {at} must be the same along both axes, not {(vertical, horizontal)}")
    return vertical


def _pads(value: Any) -> Pads:
    vertical, horizontal = _pair(value)
    return vertical, horizontal, vertical, horizontal


def _require(condition: bool, text: str) -> None:
    if not condition:
        raise InputError(text)
