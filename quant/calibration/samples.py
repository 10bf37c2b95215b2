"""What stages with a layer read and put out at some positions of all images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, fx

from quant.calibration.fused import before_activation
from quant.calibration.patches import Layer, added_at, patches, sums, usual_positions
from quant.calibration.prefix import Prefix, pieces
from quant.calibration.stored import Stored, StoredInputs, put
from quant.stages.stage import Stage
from quant.trace.inputs import each

__all__ = ["Sample", "outputs", "read_sample"]

Most = Callable[[Layer], int]
"""Returns how many positions of all images together a layer is looked at, as for `patches`."""


@dataclass(frozen=True)
class Sample:
    """What a stage reads at some positions, image after image, equally many of each.

    Attributes
    ----------
    read : Tensor, shape (groups, positions, n)
        What the weights are multiplied by.
    residual : Tensor, shape (positions, channels), or None
        What is added.
    images : int
    """

    read: Tensor
    residual: Tensor | None
    images: int


def layer_at(graph: fx.GraphModule, stage: Stage) -> Layer:
    """Return the layer of a stage of kind `conv` or `linear`."""
    return cast(Layer, graph.get_submodule(str(stage.compute.target)))


def read_sample(graph: fx.GraphModule, stage: Stage, prefix: Prefix, most: Most = usual_positions) -> Sample:
    """Return what a stage with a layer reads; `prefix` has all stages before it."""
    layer, node = layer_at(graph, stage), cast(fx.Node, stage.compute.args[0])
    wanted = (node,) if stage.residual is None else (node, stage.residual)
    read = added = None
    for which, values in prefix.run(wanted):
        here, place = patches(layer, values[node], prefix.images, which, most(layer))
        read = put(read, here, which, prefix.images, 1)
        if stage.residual is not None:
            there = added_at(values[stage.residual], len(layer.weight), place)
            added = put(added, there, which, prefix.images)
    assert read is not None
    return Sample(read, added, prefix.images)


def outputs(graph: fx.GraphModule, found: Iterable[Stage], images: Stored | StoredInputs,
            most: Most = usual_positions) -> dict[str, Tensor]:
    """Return what activations of a float graph's layers read, at the positions that `read_sample` takes, by layer.

    The graph runs once; nothing of it is kept but these values.

    Parameters
    ----------
    graph : fx.GraphModule
        Without quantizers, in eval mode.
    found : iterable of Stage
        Stages of it, each with a layer.
    images : Stored or StoredInputs
        What the graph reads.
    most : callable
        As for `read_sample`.
    """
    recorder = _Recorder(graph, tuple(found), len(images), most)
    with torch.no_grad():
        for which in pieces(graph.graph.nodes, len(images)):
            recorder.start(which)
            recorder.run(*each(images.values(which)))
    return recorder.found


class _Recorder(fx.Interpreter):
    """Runs a graph piece by piece and notes the sums of its layers and what is added to them."""

    def __init__(self, graph: fx.GraphModule, found: tuple[Stage, ...], images: int, most: Most) -> None:
        super().__init__(graph)
        self.graph_module, self.stages, self.images, self.most = graph, found, images, most
        self.which = slice(0)
        self.places: dict[Stage, Tensor] = {}
        self.sums: dict[Stage, Tensor] = {}
        self.added: dict[Stage, Tensor] = {}
        self.found: dict[str, Tensor] = {}

    def start(self, which: slice) -> None:
        """Forget the last piece; the next one has these images."""
        self.which = which
        for notes in (self.places, self.sums, self.added):
            notes.clear()

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        for stage in self.stages:
            if stage.compute.args[0] is n:
                layer = layer_at(self.graph_module, stage)
                read, self.places[stage] = patches(layer, value, self.images, self.which, self.most(layer))
                self.sums[stage] = sums(read, layer.weight.detach())
            if stage.residual is n:
                self.added[stage] = value.clone()  # an add may change it in place
            if stage.end is n:
                residual = self.added.pop(stage, None)
                if residual is not None:
                    channels = len(layer_at(self.graph_module, stage).weight)
                    residual = added_at(residual, channels, self.places[stage])
                values = before_activation(self.graph_module, stage, self.sums.pop(stage), residual)
                layer_path = str(stage.compute.target)
                self.found[layer_path] = put(self.found.get(layer_path), values, self.which, self.images)
        return value
