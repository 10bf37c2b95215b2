"""Gains per channel that stand alone become weights, so that a network of powers of two can have any of them.

A BatchNorm, or constants, that follow no layer are a copy on the machine, with a multiplier for each channel. In strict
networks that is one shift, and what is left goes to the layers that read the copy (`quant.shifts`). Where an add, a
function or a clamp reads it, nothing can take up the rest: a convolution of 1 x 1 with one weight for each channel does
the same, and its weights are quantized like any others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import fx, nn

from quant.layers.quantized import affine_of
from quant.stages.stage import Stage
from quant.stages.stages import stages
from quant.trace.shapes import shape_of

__all__ = ["gains_as_weights"]


def gains_as_weights(graph: fx.GraphModule) -> None:
    """Make a depthwise convolution of every lone BatchNorm whose gains no layer could take up, in place."""
    found = stages(graph)
    for stage in found:
        if stage.kind in ("copy", "average", "bilinear", "cat") and stage.norm is not None and _is_stuck(stage, found):
            norm = cast(nn.BatchNorm2d, graph.get_submodule(stage.norm))
            (call,) = graph.graph.find_nodes(op="call_module", target=stage.norm)
            gain, shift = affine_of(norm)
            if len(shape_of(call) or ()) == 4 and not bool((gain.abs().log2() % 1 == 0).all()):
                graph.set_submodule(stage.norm, _depthwise(gain, shift, norm))
    graph.recompile()


def _is_stuck(stage: Stage, found: Sequence[Stage]) -> bool:
    """Return whether a stage adds, clamps or looks up what its gains make, or another stage adds it."""
    ends = {stage.floor, stage.ceiling} - {0.0, float("inf"), float("-inf")}
    return bool(stage.residual is not None or ends or stage.function is not None
                or any(reader.residual is stage.end and not reader.is_product for reader in found)
                or any(reader.source is stage.end and reader.kind == "copy" and reader.function for reader in found))


def _depthwise(gain: torch.Tensor, shift: torch.Tensor, like: nn.BatchNorm2d) -> nn.Conv2d:
    """Return the convolution that multiplies each channel and adds to it."""
    weight = cast(torch.Tensor, like.running_mean)
    layer = nn.Conv2d(len(gain), len(gain), 1, groups=len(gain)).to(weight)
    with torch.no_grad():
        layer.weight.copy_(gain.reshape(-1, 1, 1, 1))
        cast(nn.Parameter, layer.bias).copy_(shift)
    return layer.eval()
