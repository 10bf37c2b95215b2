"""Quantizers of another tool: stored tensors with its scales, and layers with its weight codes."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import cast

import torch
from torch import Tensor, fx, nn

from quant.emit.builder import Builder, Stored, legal_path
from quant.graph.graph import Node, Steps
from quant.graph.layout import Layout
from quant.graph.ops.quantization import BipolarQuantize, FakeQuantize
from quant.layers.clamp import Clamp
from quant.layers.pools import PaddedMax
from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.layers.selection import Selection
from quant.layers.spread import Spread
from quant.layers.view import View
from quant.quantizers.fixed import FixedActivation
from quant.quantizers.uniform import UniformWeight
from quant.trace.naming import SUFFIX, free_name
from sim.errors import InputError
from sim.ir.formats import Format

__all__ = ["bipolar_quantize", "fake_quantize", "index_of", "quantized_layer", "stored_layouts"]

MOST_BITS = 8
"""Of weights and stored tensors."""
MOVES = (View, Selection, Spread, PaddedMax, nn.MaxPool2d)
"""Layers whose codes are some of those that they read."""
HALVES = {"half_even": "even", "half_up": "up"}


def fake_quantize(builder: Builder, node: Node) -> Stored:
    """Emit the quantizer of a stored tensor."""
    operator, value = node.operator, builder.stored(node)
    assert isinstance(operator, FakeQuantize)
    scale, zero = _number(builder, node, 1), _number(builder, node, 2)
    if operator.rounding not in HALVES:
        raise InputError(f"the quantizer {node.place} rounds by '{operator.rounding}'; the machine rounds to the "
                         "nearest code")
    if zero != int(zero):
        raise InputError(f"the zero point {node.place} must be a whole number, not {zero:g}")
    fmt = _format(operator, int(zero), node)
    source, ends = value.node, (operator.low, operator.high)
    if ends != (fmt.low, fmt.high) and not _reads_input(builder, source):  # the host clamps an input by itself
        source = builder.call(f"{node.output}_clamp", Clamp(*((end - zero) * scale for end in ends)), source)
    quantizer = FixedActivation(fmt, scale, halves=HALVES[operator.rounding], gain=operator.gain / scale,
                                bias=operator.shift / scale + zero, ends=ends)
    return _stored(builder, node, quantizer, replace(value, node=source))


def index_of(builder: Builder, node: fx.Node) -> FixedActivation | None:
    """Return the quantizer of what a function reads, if that are codes of another tool: the same ones, unsigned."""
    module = builder.modules.get(str(node.target)) if node.op == "call_module" else None
    while isinstance(module, MOVES) or node.target is torch.flatten:
        node = cast(fx.Node, node.args[0])
        module = builder.modules.get(str(node.target)) if node.op == "call_module" else None
    if not isinstance(module, FixedActivation) or module.two_values:
        return None
    fmt = module.format
    unsigned = Format(fmt.bits, "unsigned", fmt.zero_point - fmt.low)
    return FixedActivation(unsigned, float(module.scale), ends=(module.ends[0] - fmt.low, module.ends[1] - fmt.low))


def bipolar_quantize(builder: Builder, node: Node) -> Stored:
    """Emit the quantizer of a stored tensor of the values -s and s."""
    operator, value = node.operator, builder.stored(node)
    assert isinstance(operator, BipolarQuantize)
    scale = 2 * _number(builder, node, 1)
    quantizer = FixedActivation(Format(1, "unsigned"), scale, gain=operator.gain / scale,
                                bias=operator.shift / scale + 0.5, bipolar=True)
    return _stored(builder, node, quantizer, value)


def stored_layouts(module: fx.GraphModule) -> dict[str, tuple[str, Layout]]:
    """Return, by the path of each quantizer of an emitted module, the value that it makes and where its numbers are."""
    found: dict[str, tuple[str, Layout]] = module.meta["quantizers"]
    return found


def quantized_layer(layer: nn.Conv2d | nn.Linear, steps: Steps, node: Node) -> QuantConv2d | QuantLinear:
    """Return a layer with the weight codes of another tool; `steps` are those of its weights.

    Raises
    ------
    InputError
        If a code needs more than 8 bits, or steps differ within an output channel.
    """
    bits = _weight_bits(steps, node, depthwise=isinstance(layer, nn.Conv2d) and layer.groups > 1)
    weight = layer.weight.detach()
    step = _by_channel(steps.step, weight, node)
    quantizer = UniformWeight(bits, channels=len(step), mirror=False, bipolar=steps.bipolar)
    quantizer.set_scale(step)
    if not torch.equal(quantizer(weight), weight):
        raise InputError(f"the weights of {node.operator.title} {node.place} are no whole multiples of their steps")
    if isinstance(layer, nn.Conv2d):
        return QuantConv2d(layer, quantizer).eval()
    return QuantLinear(layer, quantizer).eval()


def _stored(builder: Builder, node: Node, quantizer: FixedActivation, value: Stored) -> Stored:
    """Emit a quantizer; that of an input stands before the view that makes the input a map."""
    source, view = value.node, _view_of_input(builder, value.node)
    name = free_name(legal_path(node.output), {path.removesuffix(SUFFIX) for path in builder.quantizers})
    made = builder.call(f"{name}{SUFFIX}", quantizer, source if view is None else cast(fx.Node, source.args[0]))
    builder.quantizers[str(made.target)] = node.output, value.layout
    return replace(value, node=made if view is None else builder.call(f"{node.output}_map", view, made))


def _reads_input(builder: Builder, node: fx.Node) -> bool:
    """Return whether a node gives an input, maybe as a map."""
    return node.op == "placeholder" or _view_of_input(builder, node) is not None


def _view_of_input(builder: Builder, node: fx.Node) -> View | None:
    """Return the view that makes an input a map, if a node is one."""
    module = builder.modules.get(str(node.target)) if node.op == "call_module" else None
    return module if isinstance(module, View) and cast(fx.Node, node.args[0]).op == "placeholder" else None


def _weight_bits(steps: Steps, node: Node, *, depthwise: bool) -> int:
    if steps.bipolar:
        return 2 if depthwise else 1
    bits = max(2, (-steps.low - 1).bit_length() + 1 if steps.low < 0 else 0, steps.high.bit_length() + 1)
    if bits > MOST_BITS:
        raise InputError(f"the weights of {node.operator.title} {node.place} reach from {steps.low} to {steps.high} "
                         f"steps, which takes {bits} bits; the machine's have at most {MOST_BITS}")
    return bits


def _by_channel(step: Tensor, weight: Tensor, node: Node) -> Tensor:
    """Return one step for each output channel, or one for all."""
    if step.numel() == 1:
        return step.reshape(1).float()
    rows = step.reshape(*step.shape, *[1] * (weight.ndim - step.ndim)).expand(weight.shape).reshape(len(weight), -1)
    if bool((rows != rows[:, :1]).any()):
        raise InputError(f"the steps of {node.operator.title} {node.place} differ within an output channel; the "
                         "machine has one for each")
    return rows[:, 0].float()


def _number(builder: Builder, node: Node, index: int) -> float:
    numbers = builder.constant(node, index, "scale and zero point")
    if numbers.numel() > 1 and bool((numbers != numbers.flatten()[0]).any()):
        raise InputError(f"the quantizer {node.place} has a scale or zero point for each channel; a stored tensor has "
                         "one")
    number = float(numbers.flatten()[0])
    if index == 1 and not 0 < number < inf:
        raise InputError(f"the scale of the quantizer {node.place} must be above 0 and finite, not {number:g}")
    return number


def _format(operator: FakeQuantize, zero: int, node: Node) -> Format:
    """Return the narrowest format that has all codes from low to high."""
    low, high = operator.low, operator.high
    signed = low < 0
    bits = max((-low - 1).bit_length() + 1, high.bit_length() + 1) if signed else max(high.bit_length(), 1)
    if bits > MOST_BITS:
        raise InputError(f"the quantizer {node.place} has codes from {low} to {high}, which takes {bits} bits; the "
                         f"machine's tensors have at most {MOST_BITS}")
    if not low <= zero <= high:
        raise InputError(f"the zero point {node.place} must be a code in {low}..{high}, not {zero}")
    return Format(bits, "signed" if signed else "unsigned", zero)
