"""How far the tensors of a Program can lie from those of the float network at most, by the steps of its codes alone.

Every value of the float network goes through the quantized graph with the largest distance that the Program's value can
have from it. A layer of weights W adds up what its input is off by, |W| * error, and half a step of each weight times
what it multiplies; a stored tensor adds half a step, what the digits of its requantizer are reported to miss, and what
lies beyond its codes. Nothing that the Program computes takes part, so that one which is wrong somewhere lies outside.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from math import inf
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from quant.analysis.pairs import pairs_of
from quant.factors import as_stored
from quant.frontends.read_model import read_model
from quant.layers.clamp import Clamp
from quant.layers.function import QuantFunction
from quant.layers.quantized import QuantConv2d, QuantLinear, affine_of
from quant.lowering.lower import Lowered
from quant.lowering.products import TOLERANCE
from quant.quantizers.base import ActivationQuantizer, along_channels
from quant.stages.activations import CLAMPS
from quant.stages.frontend import as_floats
from quant.stages.functions import PRODUCTS
from quant.stages.stage import Stage
from quant.stages.stages import NORMS
from quant.trace.inputs import Read, each
from quant.trace.segment import Segment

__all__ = ["Near", "error_bounds"]

BEYOND_EDGES = 1.5
"""How much more than reported a requantizer misses just beyond the outer edges of its codes, as a share: one digit is
off by at most a third of the way from there."""
SUMS = (operator.add, operator.iadd, torch.add, "add", "add_",
        operator.sub, operator.isub, torch.sub, torch.subtract, "sub", "sub_")
CLAMPING = (nn.ReLU, nn.ReLU6, nn.Hardtanh, Clamp)


class Near(NamedTuple):
    """A tensor of the float network in the unit in which the quantized network stores it.

    Attributes
    ----------
    value, error : float64 Tensors of the same shape
        What the Program has in its place lies in value - error .. value + error.
    """

    value: Tensor
    error: Tensor


def error_bounds(quantized: fx.GraphModule, model: nn.Module, data: Read, lowered: Lowered) -> dict[str, Near]:
    """Return each tensor that a Program stores, and how far the Program's can be from it, by name.

    Parameters
    ----------
    quantized : fx.GraphModule
        From `quantize(model, ...)` by the scheme "uniform" or "power_of_two" and with inputs that are codes, of at
        least two bits.
    model : nn.Module
    data : float Tensor, shape (n, ...), or Inputs
    lowered : Lowered
        Of `quantized`.
    """
    exact = read_model(model, data)
    pairs = pairs_of(quantized, exact)
    data = as_floats(data, exact)
    ends = Segment(exact, exact.graph.find_nodes(op="placeholder"), [pair.exact.end for pair in pairs])
    with torch.no_grad():
        values = ends.run(dict(zip(exact.graph.find_nodes(op="placeholder"), each(data.clone()), strict=True)))
        wanted = {pair.stage.end: as_stored(values[pair.exact.end].double(), pair.factor) for pair in pairs}
        spreading = _Spreading(quantized, {pair.stage.end: pair.stage for pair in pairs}, wanted, lowered)
        return spreading.run(each(data))


class _Spreading:
    """Runs a quantized graph on values of the float network and their errors."""

    def __init__(self, graph: fx.GraphModule, stages: Mapping[fx.Node, Stage], wanted: Mapping[fx.Node, Tensor],
                 lowered: Lowered) -> None:
        self.nodes, self.modules = list(graph.graph.nodes), deepcopy(graph).double()
        self.stages, self.wanted, self.lowered = stages, wanted, lowered
        self.parts = {part for stage in stages.values() for part in stage.parts}
        self.of_path = {path: stage for stage in stages.values() for path in (stage.quantizer, stage.function) if path}

    def run(self, given: Sequence[Tensor]) -> dict[str, Near]:
        """Return what the stages store."""
        values: dict[fx.Node, Near] = {}
        inputs, stored = iter(given), {}
        for node in self.nodes:
            if node.op == "placeholder":
                value = next(inputs).double()
                values[node] = Near(value, torch.zeros_like(value))
            elif node.op != "output":
                found = self._step(node, [values[read] for read in node.all_input_nodes])
                values[node] = self._at_end(node, found) if node in self.stages else found
            if node in self.stages and node not in self.parts:
                stored[self.stages[node].name] = values[node]
        return stored

    def _at_end(self, node: fx.Node, found: Near) -> Near:
        """Go on with the float network's own value, of which corrected biases make another, and round an output."""
        stage = self.stages[node]
        if stage.kind != "input":
            found = Near(self.wanted[node], found.error + (found.value - self.wanted[node]).abs())
        if stage.quantizer is None and not stage.keeps_codes and node not in self.parts:
            return _rounded(found, torch.tensor(self.lowered.scales[stage.name]), self._fit_error(stage))
        return found

    def _fit_error(self, stage: Stage) -> float:
        """Return what the requantizer of a stage misses [codes]."""
        return self.lowered.errors[stage.name].error if stage.name in self.lowered.errors else 0.0

    def _step(self, node: fx.Node, reads: Sequence[Near]) -> Near:
        """Return the value of a node."""
        module = self.modules.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, QuantConv2d | QuantLinear):
            return _through_layer(module, reads[0])
        if isinstance(module, ActivationQuantizer | QuantFunction):
            stage = self.of_path[str(node.target)]
            if isinstance(module, QuantFunction):
                return _through_table(module, reads[0], self._fit_error(stage))
            return _through_codes(module, reads[0], 0.0 if stage.function is not None else self._fit_error(stage))
        value, error = (self._call(node, module, iter(of)) for of in zip(*reads, strict=True))
        if isinstance(module, CLAMPING) or node.target in CLAMPS:
            error = reads[0].error
        elif isinstance(module, NORMS):
            gain = affine_of(cast(nn.BatchNorm2d, module))[0].abs()
            error = reads[0].error * gain.reshape(-1, *[1] * (value.ndim - 2))
        elif node.target in SUMS:
            error = reads[0].error + reads[-1].error
        elif node.target in PRODUCTS:
            error = _product_error(reads[0], reads[-1])
        return Near(value, error)

    def _call(self, node: fx.Node, module: nn.Module | None, reads: Iterator[Tensor]) -> Tensor:
        """Return what a node makes of other tensors; of errors that is right for moves, maxima and averages."""
        of = {read: next(reads).clone() for read in node.all_input_nodes}
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), of.__getitem__)
        if node.op == "call_method":
            return cast(Tensor, getattr(args[0], str(node.target))(*args[1:], **kwargs))
        return cast(Tensor, (module if module is not None else cast(Callable[..., Any], node.target))(*args, **kwargs))


def _through_layer(layer: QuantConv2d | QuantLinear, read: Near) -> Near:
    weight, quantizer = layer.weight, layer.weight_quantizer
    scale, levels = along_channels(quantizer.scale, weight), quantizer.levels
    ends = torch.stack([scale * levels[0], scale * levels[-1]]).sort(0).values
    off = scale.abs() / 2 + (weight - weight.clamp(*ends)).abs()
    used = quantizer(weight).abs()
    value = _sums(layer, read.value, weight, layer.bias)
    return Near(value, _sums(layer, read.error, used) + _sums(layer, read.value.abs(), off.expand_as(weight)))


def _sums(layer: QuantConv2d | QuantLinear, read: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if isinstance(layer, nn.Linear):
        return functional.linear(read, weight, bias)
    return functional.conv2d(read, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)


def _through_codes(quantizer: ActivationQuantizer, read: Near, fit_error: float) -> Near:
    fmt = quantizer.format
    low, high = ((code - quantizer.zero) * quantizer.scale for code in (fmt.low, fmt.high))
    beyond = (read.value - read.value.clamp(low, high)).abs()
    return Near(read.value, _rounded(read, quantizer.scale, fit_error).error + beyond)


def _rounded(read: Near, scale: Tensor, fit_error: float) -> Near:
    return Near(read.value, read.error + scale * (0.5 + BEYOND_EDGES * fit_error))


def _through_table(function: QuantFunction, read: Near, fit_error: float) -> Near:
    """Look up all codes of the index that are near enough to come up, and take the entry that is furthest off."""
    index, value = function.index_quantizer, function.exact(read.value)
    entries, _ = function.entries()
    place = (read.value / index.scale + index.zero).clamp(0, len(entries) - 1)
    reach = read.error / index.scale + 0.5 + BEYOND_EDGES * fit_error
    first, last = (end.clamp(0, len(entries) - 1).long() for end in ((place - reach).ceil(), (place + reach).floor()))
    least, most = (sign * torch.stack([torch.cat([entries.new_full((start,), -inf), (sign * entries)[start:]]).cummax(
        0).values for start in range(len(entries))]) for sign in (-1, 1))
    return Near(value, torch.maximum(most[first, last] - value, value - least[first, last]))


def _product_error(left: Near, right: Near) -> Tensor:
    """Return the error of a product; the steps of three tensors fit together up to what single precision rounds."""
    error = left.value.abs() * right.error + right.value.abs() * left.error + left.error * right.error
    return error + TOLERANCE * (left.value * right.value).abs()
