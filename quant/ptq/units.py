"""Units of reconstruction: groups of stages whose weights are learnt together, found in the graph.

A residual block is one unit: the stages between the tensor that its shortcut reads and the stage that adds. So is a
depthwise convolution with the convolutions around it, where nobody else reads what lies between. Layers that write the
parts of one tensor are a unit, too. Every other layer is one by itself. (Blocks as units: Li et al., "BRECQ", ICLR
2021, arXiv 2102.05426.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from torch import fx, nn

from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.stages.stage import Stage
from quant.stages.stages import stages
from quant.trace.calls import module_of

__all__ = ["Unit", "layer_of", "units"]

Layer = QuantConv2d | QuantLinear


@dataclass(frozen=True)
class Unit:
    """Stages that are reconstructed together.

    Attributes
    ----------
    stages : tuple of Stage
        In an order in which they can run; the last one makes the unit's only output.
    """

    stages: tuple[Stage, ...]

    @property
    def last(self) -> Stage:
        """The stage whose output is reconstructed."""
        return self.stages[-1]

    @property
    def inputs(self) -> tuple[fx.Node, ...]:
        """Ends of the stages whose tensors are read from outside."""
        inside = {stage.end for stage in self.stages}
        return tuple(dict.fromkeys(node for stage in self.stages for node in stage.reads if node not in inside))


def layer_of(graph: fx.GraphModule, stage: Stage) -> Layer | None:
    """Return the layer with weights that a stage computes, if it has one."""
    module = module_of(graph, stage.compute) if stage.compute.op == "call_module" else None
    return module if isinstance(module, Layer) else None


def units(graph: fx.GraphModule) -> tuple[Unit, ...]:
    """Return the units of a quantized graph that have weights, in an order in which they can run."""
    found = stages(graph)
    finder = _Finder(graph, found)
    taken: dict[fx.Node, tuple[Stage, ...]] = {}
    for group in (*finder.blocks(), *finder.concatenations(), *finder.depthwise()):
        if not any(stage.end in taken for stage in group):
            taken |= {stage.end: group for stage in group}
    groups = dict.fromkeys(taken.get(stage.end, (stage,)) for stage in found)
    order = {stage.end: place for place, stage in enumerate(found)}
    ordered = sorted(groups, key=lambda group: order[group[-1].end])
    return tuple(Unit(group) for group in ordered if any(layer_of(graph, stage) for stage in group))


class _Finder:
    def __init__(self, graph: fx.GraphModule, found: Iterable[Stage]) -> None:
        self.graph = graph
        self.by_end = {stage.end: stage for stage in found}
        self.readers: dict[fx.Node, list[Stage]] = {end: [] for end in self.by_end}
        for stage in self.by_end.values():
            for node in stage.reads:
                self.readers[node].append(stage)

    def blocks(self) -> list[tuple[Stage, ...]]:
        """Return residual blocks whose inner stages nothing outside reads."""
        found = []
        for stage in self.by_end.values():
            if stage.residual is not None:
                main, shortcut = (self._upwards(node) for node in stage.reads)
                fork = next((node for node in main if node in shortcut), None)
                if fork is not None:
                    inside = {*main[: main.index(fork)], *shortcut[: shortcut.index(fork)]}
                    group = (*(self.by_end[end] for end in self.by_end if end in inside), stage)
                    if self._is_closed(group):
                        found.append(group)
        return found

    def concatenations(self) -> list[tuple[Stage, ...]]:
        """Return the stages that write the parts of each tensor, with the one that stores it."""
        return [(*(self.by_end[end] for end in stage.parts), stage) for stage in self.by_end.values() if stage.parts]

    def depthwise(self) -> list[tuple[Stage, ...]]:
        """Return depthwise convolutions with what makes their input and reads their output."""
        found = []
        for stage in self.by_end.values():
            layer = layer_of(self.graph, stage)
            if isinstance(layer, nn.Conv2d) and layer.groups > 1:
                before, readers = self.by_end[cast(fx.Node, stage.source)], self.readers[stage.end]
                group = ((before,) if self._is_layer(before) and self.readers[before.end] == [stage] else ()) + (stage,)
                group += tuple(readers) if len(readers) == 1 and self._is_layer(readers[0]) else ()
                found.append(group)
        return found

    def _upwards(self, node: fx.Node) -> list[fx.Node]:
        """Return a stored tensor and those it came from, along the first operands; additions end the way."""
        way = [node]
        while (stage := self.by_end[way[-1]]).source is not None and stage.residual is None:
            way.append(stage.source)
        return way

    def _is_layer(self, stage: Stage) -> bool:
        return layer_of(self.graph, stage) is not None and stage.residual is None

    def _is_closed(self, group: tuple[Stage, ...]) -> bool:
        """Return whether no stage outside reads what lies inside."""
        return all(reader in group for stage in group[:-1] for reader in self.readers[stage.end])
