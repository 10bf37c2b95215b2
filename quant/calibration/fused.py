"""What a stage does to the sums of its layer, at some positions: bias, BatchNorm, residual add, ReLU."""

from __future__ import annotations

from typing import cast

from torch import Tensor, fx, nn
from torch.nn import functional

from quant.layers.function import Function
from quant.stages.stage import Stage

__all__ = ["activated", "before_activation", "clamped"]


def before_activation(graph: fx.GraphModule, stage: Stage, sums: Tensor, residual: Tensor | None) -> Tensor:
    """Return what the activation of a stage reads, shape (positions, channels).

    Parameters
    ----------
    sums : Tensor, shape (positions, channels)
        Of the layer, without its bias; changed in place.
    residual : Tensor of the same shape, optional
        What the stage adds.
    """
    layer = cast(nn.Conv2d | nn.Linear, graph.get_submodule(str(stage.compute.target)))
    found = sums if layer.bias is None else sums.add_(layer.bias.detach())
    if stage.norm is not None:
        norm = cast(nn.BatchNorm2d, graph.get_submodule(stage.norm))
        found = functional.batch_norm(found, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    return found if residual is None else found.add_(residual, alpha=stage.residual_sign)


def activated(graph: fx.GraphModule, stage: Stage, values: Tensor) -> Tensor:
    """Return what a stage stores of what its activation reads; functions are exact."""
    values = clamped(stage, values)
    return values if stage.function is None else cast(Function, graph.get_submodule(stage.function)).exact(values)


def clamped(stage: Stage, values: Tensor) -> Tensor:
    """Return what the activation of a stage lets through of values."""
    return values.clamp(stage.floor, stage.ceiling) if stage.clamps else values
