"""Tensors whose channels may be stored in units of their own, because only depthwise convolutions read them.

A factor per channel between the float network's tensor and the stored one changes nothing but weights: the rows of the
layer that makes the tensor and the filters that read it. The step of a row, and that of the tensor, can then be a power
of two and any other number in the units of the float network. Dense readers could take up factors too, but have one
step for the weights of all channels, and lose more where their columns differ than the rows win.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import cast

from torch import Tensor, fx, nn

from quant.factors import absorb
from quant.quantizers.base import ActivationQuantizer
from quant.stages.stage import Stage
from quant.trace.calls import module_of
from quant.trace.taps import is_output

__all__ = ["FreeTensor", "free_tensors"]


@dataclass(frozen=True)
class FreeTensor:
    """A tensor whose channels may have factors.

    Attributes
    ----------
    stage : Stage
        Which makes it: a convolution or linear layer, and at most an activation that cuts.
    readers : tuple of Stage
        Depthwise convolutions.
    """

    stage: Stage
    readers: tuple[Stage, ...]

    def quantizer(self, graph: fx.GraphModule) -> ActivationQuantizer:
        """Return the quantizer of what is stored, in a quantized graph."""
        return cast(ActivationQuantizer, graph.get_submodule(str(self.stage.quantizer)))

    def tell_readers(self, graph: fx.GraphModule, factor: Tensor) -> None:
        """Let the readers compute the same from values that have been divided by `factor`, shape (channels,)."""
        for reader in self.readers:
            absorb(_layer(graph, reader), factor)

    def grow(self, graph: fx.GraphModule, growth: Tensor) -> None:
        """Note in a quantized graph that each channel is stored larger by its part of `growth`, shape (channels,)."""
        self.tell_readers(graph, 1 / growth)
        quantizer = self.quantizer(graph)
        assert quantizer.factor is not None
        quantizer.factor = quantizer.factor / growth.to(quantizer.factor)


def free_tensors(graph: fx.GraphModule, found: Sequence[Stage]) -> list[FreeTensor]:
    """Return the tensors of a graph, quantized or not, whose channels may have factors, in the order of `found`."""
    readers: dict[fx.Node, list[Stage]] = {}
    for stage in found:
        if stage.source is not None:
            readers.setdefault(stage.source, []).append(stage)
    others = {node for stage in found for node in (stage.residual, *stage.parts) if node is not None}
    free = []
    for stage in found:
        if _is_layer(graph, stage) and _is_plain(stage, others) and stage.floor in (0.0, -inf) and stage.ceiling > 0:
            reading = readers.get(stage.end, [])
            if reading and all(_is_depthwise(graph, reader) for reader in reading):
                free.append(FreeTensor(stage, tuple(reading)))
    return free


def _is_plain(stage: Stage, others: set[fx.Node]) -> bool:
    """Return whether nothing but a cut follows a stage's layer, and only the sources of stages lead to its tensor."""
    return (stage.residual is None and stage.norm is None and stage.function is None and not stage.is_part
            and stage.end not in others and not is_output(stage.end))


def _is_layer(graph: fx.GraphModule, stage: Stage) -> bool:
    """Return whether a stage computes a linear layer, or a convolution that is dense or depthwise."""
    layer = module_of(graph, stage.compute) if stage.kind in ("conv", "linear") else None
    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups in (1, layer.in_channels))


def _is_depthwise(graph: fx.GraphModule, stage: Stage) -> bool:
    """Return whether a stage computes a depthwise convolution."""
    return _is_layer(graph, stage) and isinstance(layer := _layer(graph, stage), nn.Conv2d) and layer.groups > 1


def _layer(graph: fx.GraphModule, stage: Stage) -> nn.Conv2d | nn.Linear:
    return cast(nn.Conv2d | nn.Linear, module_of(graph, stage.compute))
