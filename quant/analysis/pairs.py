"""Stages of a quantized network beside those of the float network that it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, fx, nn

from quant.factors import along_axis, factors_of, inputs_of
from quant.layers.quantized import QuantConv2d, QuantLinear, normed
from quant.quantizers.base import ActivationQuantizer
from quant.quantizers.pixel import PixelActivation
from quant.stages.stage import Stage
from quant.stages.stages import stages
from quant.trace.calls import module_of
from sim.errors import InputError

__all__ = ["Pair", "as_float", "pairs_of", "real_weight"]


@dataclass(frozen=True)
class Pair:
    """A stage of both networks.

    Attributes
    ----------
    stage, exact : Stage
        Of the quantized and of the float network.
    factor, read_factor : Tensor of shape (channels,), or None
        By how much the float network's tensor is larger than the one that is stored, and than the one that is read.
    quantizer : ActivationQuantizer or None
        Of the stored tensor.
    layer : QuantConv2d, QuantLinear or None
        Whose weights the stage multiplies by.
    """

    stage: Stage
    exact: Stage
    factor: Tensor | None
    read_factor: Tensor | None
    quantizer: ActivationQuantizer | None
    layer: QuantConv2d | QuantLinear | None


def pairs_of(graph: fx.GraphModule, exact: fx.GraphModule) -> list[Pair]:
    """Return the stages of a quantized graph in the order in which they run, with those of its float network.

    Raises
    ------
    InputError
        If the float network is of another structure.
    """
    found = stages(graph)
    factors, others = _factors(graph, found), {stage.name: stage for stage in stages(exact)}
    pairs = []
    for stage in found:
        if stage.name not in others:
            raise InputError(f"the quantized network has a stage '{stage.name}' that the float network lacks; give the "
                             "float network that it was made from")
        module = module_of(graph, stage.compute) if stage.compute.op == "call_module" else None
        quantizer = graph.get_submodule(stage.quantizer) if stage.quantizer is not None else None
        pairs.append(Pair(stage, others[stage.name], factors.get(stage.end),
                          factors.get(stage.source) if stage.source is not None else None,
                          cast(ActivationQuantizer | None, quantizer),
                          module if isinstance(module, QuantConv2d | QuantLinear) else None))
    return pairs


def _factors(graph: fx.GraphModule, found: tuple[Stage, ...]) -> dict[fx.Node, Tensor]:
    """Return the factors of all tensors that have some; those of pixels follow from their deviations."""
    factors = factors_of(graph, found)
    for stage in found:
        quantizer = graph.get_submodule(stage.quantizer) if stage.quantizer is not None else None
        if isinstance(quantizer, PixelActivation):
            factors[stage.end] = (1.0 / (quantizer.gain * quantizer.scale)).flatten()
    return factors


def as_float(value: Tensor, pair: Pair) -> Tensor:
    """Return what a stage of the quantized network puts out in the units of the float network."""
    if isinstance(pair.quantizer, PixelActivation):
        return pair.quantizer.pixels.values(pair.quantizer.codes_of(value).to(torch.uint8)).to(value)
    if pair.factor is None:
        return value
    return value * along_axis(pair.factor, value.shape[1]).reshape(1, -1, *[1] * (value.ndim - 2)).to(value)


def real_weight(pair: Pair, exact: fx.GraphModule) -> Tensor:
    """Return the weights that a layer's codes stand for, in the units of the quantized network.

    Those of a layer that is trained are its own; where they lie on the grid already, as after reconstruction, the float
    network's are taken, with its BatchNorm and all factors between the two networks.
    """
    layer = cast(QuantConv2d | QuantLinear, pair.layer)
    own = layer.weight.detach()
    with torch.no_grad():
        on_grid = torch.equal(layer.weight_quantizer(own), own)
    if pair.stage.norm is not None or not on_grid:
        return own
    module = cast(nn.Conv2d | nn.Linear, module_of(exact, pair.exact.compute))
    if pair.exact.norm is not None:
        module = normed(module, cast(nn.BatchNorm2d, exact.get_submodule(pair.exact.norm)))
    weight = module.weight.detach()
    if pair.read_factor is not None:
        weight = weight * inputs_of(module, pair.read_factor).to(weight)
    if pair.factor is not None and pair.stage.kind in ("conv", "linear"):
        weight = weight / pair.factor.reshape(-1, *[1] * (weight.ndim - 1)).to(weight)
    return weight
