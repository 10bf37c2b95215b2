"""How much an error in each channel of a tensor matters to the layers that read it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, fx, nn

from quant.calibration.samples import layer_at
from quant.layers.selection import ZEROS, Selection
from quant.layers.spread import Spread
from quant.stages.stage import Stage
from quant.trace.calls import module_of
from quant.trace.shapes import shape_of

__all__ = ["error_weights"]


def error_weights(graph: fx.GraphModule, found: Iterable[Stage], stage: Stage, channels: int) -> Tensor:
    """Return the squared error of all that reads a tensor for a squared error of 1 in each channel, shape (channels,).

    Errors of different elements count as independent; an add passes them on as they are. Max pools pass on codes.

    Parameters
    ----------
    graph : fx.GraphModule
    found : iterable of Stage
        All of it.
    stage : Stage
        Which stores the tensor.
    channels : int
    """
    total = torch.zeros(channels, dtype=torch.float64)
    for reader in found:
        reads = reader.source is stage.end
        if reader.residual is stage.end or (reads and reader.kind in ("average", "bilinear", "copy")):
            total += 1.0
        if reads and reader.kind == "max":
            total += error_weights(graph, found, reader, channels)
        elif reads and reader.kind == "selection":
            total += _through(module_of(graph, reader.compute), graph, found, reader, channels)
        elif reads and reader.kind in ("conv", "linear"):
            total += _energies(layer_at(graph, reader), channels)
    return total


def _through(selection: nn.Module, graph: fx.GraphModule, found: Iterable[Stage], stage: Stage,
             channels: int) -> Tensor:
    """Return how much the channels that a layer moves matter to what reads the ones that it makes of them."""
    read = cast("tuple[int, ...]", shape_of(cast(fx.Node, stage.compute.args[0])))[1]
    if isinstance(selection, Spread):
        spread = error_weights(graph, found, stage, len(selection.origins(read)))
        return spread.repeat_interleave(read // len(spread)).reshape(channels, -1).sum(1)
    assert isinstance(selection, Selection)
    picked = selection.channels or tuple(range(read))
    weights = error_weights(graph, found, stage, len(picked))
    total = torch.zeros(read, dtype=torch.float64)
    for channel, weight in zip(picked, weights, strict=True):
        if channel != ZEROS:
            total[channel] += weight
    return total.reshape(channels, -1).sum(1)


def _energies(layer: nn.Conv2d | nn.Linear, channels: int) -> Tensor:
    """Return the sum of the squared weights that read each channel."""
    squares = layer.weight.detach().double().square().cpu()
    largest = squares.max()
    squares = squares / largest if largest > 0 else squares
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    by_input = squares.reshape(groups, len(squares) // groups, squares[0].numel()).sum(1)
    return by_input.reshape(channels, -1).sum(1) * largest
