"""Which stages make what a model returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import fx

from quant.stages.stage import Stage
from quant.trace.taps import outputs_of

__all__ = ["output_stages"]


def output_stages(graph: fx.GraphModule, found: Sequence[Stage]) -> tuple[Stage, ...]:
    """Return the stages that make the model's outputs, which may be other views of what they store."""
    by_end = {stage.end: stage for stage in found}
    makers = []
    for node in outputs_of(graph):
        while node not in by_end:
            node = cast(fx.Node, node.args[0])
        makers.append(by_end[node])
    return tuple(makers)
