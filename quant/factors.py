"""Factors per channel between a float network's tensors and those that are stored, and the layers that take them up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, fx, nn

from quant.layers.spread import moved
from quant.quantizers.base import ActivationQuantizer
from quant.stages.stage import Stage
from quant.trace.calls import module_of

__all__ = ["absorb", "along_axis", "as_stored", "factors_of", "inputs_of", "scale_outputs"]


def along_axis(factor: Tensor, features: int) -> Tensor:
    """Return the factors of `features` values, which are a tensor's channels or, after a flatten, all their places.

    >>> along_axis(torch.tensor([1.0, 2.0]), 4)
    tensor([1., 1., 2., 2.])
    """
    return factor.repeat_interleave(features // len(factor))


def factors_of(graph: fx.GraphModule, found: Sequence[Stage]) -> dict[fx.Node, Tensor]:
    """Return the factors of the stored tensors of a quantized graph that have some, by the ends of their stages."""
    factors: dict[fx.Node, Tensor] = {}
    for stage in found:
        factor = factors.get(stage.source) if stage.kind == "max" and stage.source is not None else None
        if stage.kind == "selection" and stage.source in factors:
            factor = moved(module_of(graph, stage.compute), factors[stage.source], zeros=1.0)
        if stage.quantizer is not None:
            factor = cast(ActivationQuantizer, graph.get_submodule(stage.quantizer)).factor
        if factor is not None:
            factors[stage.end] = factor
    return factors


def as_stored(real: Tensor, factor: Tensor | None) -> Tensor:
    """Return the values of a float network's tensor as the quantized network stores them.

    Parameters
    ----------
    real : Tensor, shape (n, channels, ...)
    factor : Tensor of shape (channels,), or None
    """
    if factor is None:
        return real
    return real / along_axis(factor, real.shape[1]).reshape(1, -1, *[1] * (real.ndim - 2)).to(real)


def absorb(layer: nn.Conv2d | nn.Linear, factor: Tensor) -> None:
    """Multiply the weights so that the layer computes the same from inputs that have been divided by `factor`.

    Parameters
    ----------
    layer : nn.Conv2d or nn.Linear
    factor : Tensor, shape (channels,)
        Of the tensor that the layer reads.
    """
    with torch.no_grad():
        layer.weight *= inputs_of(layer, factor).to(layer.weight)


def inputs_of(layer: nn.Conv2d | nn.Linear, factor: Tensor) -> Tensor:
    """Return the factor of the input that each weight meets, shaped to multiply the weights.

    >>> inputs_of(nn.Conv2d(4, 2, 1, groups=2), torch.tensor([1.0, 2.0, 3.0, 4.0])).flatten(1)
    tensor([[1., 2.],
            [3., 4.]])
    """
    if isinstance(layer, nn.Linear):
        return along_axis(factor, layer.in_features)[None]
    rows = factor.reshape(layer.groups, -1).repeat_interleave(layer.out_channels // layer.groups, 0)
    return rows[:, :, None, None]


def scale_outputs(layer: nn.Conv2d | nn.Linear, factor: Tensor) -> None:
    """Divide what the layer puts out by `factor`, one number for each output channel."""
    with torch.no_grad():
        layer.weight /= factor.reshape(-1, *[1] * (layer.weight.ndim - 1)).to(layer.weight)
        if layer.bias is not None:
            layer.bias /= factor.to(layer.bias)
