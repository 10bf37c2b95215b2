"""Channels of a stored tensor that share its step are given like ranges, by powers of two that cost nothing.

A channel that reaches an eighth of its tensor's range has three bits fewer than the widest. Where a convolution makes
the tensor and only depthwise convolutions read it, channel c is stored 2**k larger: row c of the maker and the one
filter that reads channel c take the factor into steps of their own, so that their codes stay as they are.
(Cross-layer equalization by any factor: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", ICCV 2019, arXiv 1906.04721.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import cast

import torch
from torch import Tensor, fx, nn

from quant.factors import absorb, scale_outputs
from quant.stages.stage import Stage
from quant.stages.stages import stages
from quant.trace.calls import module_of
from quant.trace.inputs import Read, each
from quant.trace.segment import Segment

__all__ = ["Equalized", "equalize"]

OCTAVES = 6
"""By how much a channel grows at most: what hardly ever differs from 0 says little about its range."""
HEADROOM = 2.0
"""How many times as far as on the data a channel that grew can reach before it is cut: other images reach further."""


@dataclass(frozen=True)
class Equalized:
    """What became of a tensor's channels.

    Attributes
    ----------
    name : str
        Of the tensor, which is that of the stage that stores it.
    factor : float64 Tensor, shape (channels,)
        Powers of two, at most 1: what was stored before, over what is stored now.
    held : int
        Channels that reach the ceiling of their ReLU6 on the data and so keep their values.
    """

    name: str
    factor: Tensor
    held: int

    @property
    def moved(self) -> int:
        """How many channels are stored larger than before."""
        return int((self.factor < 1).sum())


def equalize(graph: fx.GraphModule, batches: Iterable[Read]) -> list[Equalized]:
    """Scale channels by powers of two in place, so that all reach into the second quarter of their tensor's range.

    After a ReLU, or without one, the network computes the same on all images. After a ReLU6 it does so where no channel
    that was scaled reaches further than twice as far as on the data.

    Parameters
    ----------
    graph : fx.GraphModule
        Of a float network whose BatchNorms are folded.
    batches : iterable of float Tensor, shape (n, C, H, W)
        Calibration images, which are run once.

    Returns
    -------
    list of Equalized
        One for each tensor whose channels may differ, in the order in which they are made.
    """
    chosen = _candidates(graph, stages(graph))
    if not chosen:
        return []
    largest = _largest(graph, [stage.end for stage in chosen], batches)
    found = []
    for stage in chosen:
        reach = largest[stage.end]
        octaves = torch.floor(torch.log2(reach.max() / torch.where(reach == 0, reach.max(), HEADROOM * reach)))
        factor = torch.exp2(-octaves.nan_to_num(0.0).clamp(0, OCTAVES))
        scale_outputs(_layer(graph, stage.compute), factor)
        for reader in stage.end.users:
            absorb(_layer(graph, reader), factor)
        found.append(Equalized(stage.name, factor, int((reach >= stage.ceiling).sum())))
    return found


def _candidates(graph: fx.GraphModule, found: tuple[Stage, ...]) -> list[Stage]:
    """Return the stages whose channels may be scaled: convolutions of which only depthwise convolutions read."""
    readers = {stage.compute for stage in found if stage.kind == "conv" and _is_depthwise(_layer(graph, stage.compute))}
    adds = {stage.residual for stage in found}
    return [stage for stage in found if stage.kind == "conv" and stage.residual is None and stage.norm is None
            and stage.function is None and stage.floor in (0.0, -inf)
            and stage.end not in adds and readers.issuperset(stage.end.users)]


def _is_depthwise(layer: nn.Conv2d | nn.Linear) -> bool:
    return isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1


def _layer(graph: fx.GraphModule, node: fx.Node) -> nn.Conv2d | nn.Linear:
    return cast(nn.Conv2d | nn.Linear, module_of(graph, node))


def _largest(graph: fx.GraphModule, ends: list[fx.Node], batches: Iterable[Read]) -> dict[fx.Node, Tensor]:
    """Return the largest magnitude of each channel on all images, float64, by the ends of the stages."""
    starts = graph.graph.find_nodes(op="placeholder")
    segment = Segment(graph, starts, ends)
    largest: dict[fx.Node, Tensor] = {}
    with torch.no_grad():
        for batch in batches:
            for end, value in segment.run(dict(zip(starts, each(batch), strict=True))).items():
                reach = value.abs().amax((0, 2, 3)).double()
                largest[end] = torch.maximum(largest[end], reach) if end in largest else reach
    return largest
