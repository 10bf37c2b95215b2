"""Tensors that must be stored in one unit, because an add reads or makes each of them, and the layers that read them.

All of them together may be stored larger or smaller by any one number: the rows of the layers that make them and the
weights of the layers that read them take it up, whether these are dense or depthwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from torch import fx, nn

from quant.stages.stage import Stage
from quant.trace.calls import module_of
from quant.trace.taps import is_output

__all__ = ["LinkedTensors", "linked_tensors"]


@dataclass(frozen=True)
class LinkedTensors:
    """Tensors that share a unit.

    Attributes
    ----------
    makers : tuple of Stage
        Which store them.
    readers : tuple of Stage
        Layers that read them, each once.
    """

    makers: tuple[Stage, ...]
    readers: tuple[Stage, ...]


def linked_tensors(graph: fx.GraphModule, found: Sequence[Stage]) -> list[LinkedTensors]:
    """Return the groups of tensors of a float graph whose unit is free, in the order of their first tensors.

    Every tensor of a group is made by a layer, after which at most an add and an activation that cuts follow, and
    only layers and adds read it.
    """
    group = {stage.end: [stage.end] for stage in found}
    for stage in found:
        for other in (stage.residual, *stage.parts):
            if other is not None and group[other] is not group[stage.end]:
                group[other] += group[stage.end]
                for end in group[stage.end]:
                    group[end] = group[other]
    by_end = {stage.end: stage for stage in found}
    readers: dict[fx.Node, list[Stage]] = {end: [] for end in by_end}
    for stage in found:
        if stage.source is not None:
            readers[stage.source].append(stage)
    linked = []
    for ends in {id(ends): ends for ends in group.values()}.values():
        makers = tuple(by_end[end] for end in ends)
        reading = tuple(stage for end in ends for stage in readers[end])
        if reading and all(_can_grow(graph, maker) for maker in makers) and all(_is_layer(graph, s) for s in reading):
            linked.append(LinkedTensors(makers, reading))
    return linked


def _can_grow(graph: fx.GraphModule, stage: Stage) -> bool:
    """Return whether what a stage stores may be any number of times as large if what it adds is."""
    return (_is_layer(graph, stage) and stage.norm is None and stage.function is None and not stage.is_product
            and not stage.is_part and stage.floor in (0.0, -inf) and stage.ceiling > 0 and not is_output(stage.end))


def _is_layer(graph: fx.GraphModule, stage: Stage) -> bool:
    return stage.kind in ("conv", "linear") and isinstance(module_of(graph, stage.compute), nn.Conv2d | nn.Linear)
