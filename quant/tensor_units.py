"""Units of stored tensors in which their steps are powers of two without a loss.

A step of 2**k is up to the root of two off the best one, and of the codes of a ReLU6 that cuts at 6 a step of 2**-5
uses three quarters. Where only layers and adds read a tensor, all of it can be stored larger by any number up to the
root of two, or smaller, so that its best step is a power of two. Tensors that are added share their unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite, log2
from typing import cast

import torch
from torch import Tensor, fx, nn

from quant.calibration.host_images import HostImages
from quant.calibration.patches import at_positions, positions
from quant.calibration.prefix import pieces
from quant.calibration.stored import Stored, StoredInputs
from quant.factors import scale_outputs
from quant.free_tensors import free_tensors
from quant.layers.clamp import Clamp
from quant.linked_tensors import linked_tensors
from quant.quantizers.lsq import LSQActivation
from quant.quantizers.power_of_two import PowerOfTwoActivation
from quant.stages.activations import CLAMPS, ends_of
from quant.stages.stage import Stage
from quant.stages.stages import stages
from quant.trace.calls import module_of
from quant.trace.inputs import each
from quant.trace.naming import free_path
from quant.trace.segment import Segment

__all__ = ["IMAGES", "fit_units"]

IMAGES = 32
"""Images that say how far tensors reach."""
POSITIONS = 16
"""Positions of each that are looked at."""
WIDE = 8
"""Bits at which the step of a tensor that dense layers read is not worth a unit."""
PARTS = 16
"""Units that are tried in an octave."""
NEARLY = 0.9
"""Where the best step reaches to this share of a ReLU6's cut or further, the largest code is put on the cut."""


def fit_units(graph: fx.GraphModule, images: Stored | StoredInputs | HostImages, bits: Callable[[Stage], int], *,
              reference: fx.GraphModule | None = None) -> dict[str, Tensor]:
    """Store every tensor of a graph that only layers and adds read in a unit of its own, in place.

    Its best step then is a power of two, or nearly so where it shares the unit with others. The network computes the
    same. A ReLU6 whose cut the largest code reaches then cuts just there.

    Parameters
    ----------
    graph : fx.GraphModule
        Of a network whose BatchNorms are folded. If it has quantizers, they are left as they are.
    images : Stored, StoredInputs or HostImages
        What the graph reads; a few of them are looked at.
    bits : callable (Stage) -> int
        Width of the tensor that a stage stores.
    reference : fx.GraphModule, optional
        The float network that a graph with quantizers rounds, with the same weights; it stays as it is.

    Returns
    -------
    dict of str to float64 Tensor, shape (channels,)
        What was stored before, over what is stored now, by the name of the stage that stores it.
    """
    found = stages(graph)
    free = {tensor.stage.end for tensor in free_tensors(graph, found)}
    linked = [group for group in linked_tensors(graph, found)
              if free.issuperset(stage.end for stage in group.makers) or min(map(bits, group.makers)) < WIDE]
    if not linked:
        return {}
    values = _values(reference or graph, [stage.name for group in linked for stage in group.makers], images)
    factors: dict[str, Tensor] = {}
    for group in linked:
        growth = _growth(group.makers, values, bits)
        for stage in group.makers:
            if isfinite(stage.ceiling):
                _move_cuts(graph, stage, growth)
            layer = _layer(graph, stage)
            factors[stage.name] = torch.full((len(layer.weight),), 1 / growth, dtype=torch.float64)
            scale_outputs(layer, factors[stage.name])
        for reader in group.readers:
            with torch.no_grad():
                _layer(graph, reader).weight /= growth
    graph.delete_all_unused_submodules()
    graph.graph.lint()
    graph.recompile()
    return factors


def _layer(graph: fx.GraphModule, stage: Stage) -> nn.Conv2d | nn.Linear:
    return cast(nn.Conv2d | nn.Linear, module_of(graph, stage.compute))


def _growth(makers: Sequence[Stage], values: Mapping[str, Tensor], bits: Callable[[Stage], int]) -> float:
    """Return by how much tensors should be stored larger, between the roots of 1/2 and of 2."""
    if len(makers) == 1:
        return _growth_of_one(makers[0], values[makers[0].name], bits(makers[0]))
    tried = [float(2.0 ** (part / PARTS)) for part in range(-PARTS // 2, PARTS // 2)]

    def loss(growth: float) -> float:
        return sum(_lost(values[stage.name] * growth, stage.floor < 0, bits(stage)) for stage in makers)

    return min(tried, key=loss)


def _lost(values: Tensor, signed: bool, bits: int) -> float:
    """Return the squared error of the best step 2**k, as a share of what is stored."""
    energy = max(float(values.square().mean()), float(torch.finfo(values.dtype).tiny))
    return PowerOfTwoActivation(bits, signed=signed).error(values, bits) / energy


def _growth_of_one(stage: Stage, values: Tensor, bits: int) -> float:
    quantizer = LSQActivation(bits, signed=stage.floor < 0)
    quantizer.initialise(values)
    step, high = float(quantizer.scale.detach()), quantizer.format.high
    if isfinite(stage.ceiling) and step * high >= NEARLY * stage.ceiling:
        step = stage.ceiling / high
    return float(2.0 ** round(log2(step)) / step)


def _move_cuts(graph: fx.GraphModule, stage: Stage, growth: float) -> None:
    """Let the activations of a stage cut at multiples of where they do."""
    node = stage.end
    while node is not stage.compute:
        module = module_of(graph, node) if node.op == "call_module" else None
        before = cast(fx.Node, node.args[0])
        if isinstance(module, nn.Hardtanh | Clamp) or node.target in CLAMPS:
            low, high = ends_of(node, module)
            path = free_path(graph, f"{stage.name}_clamp")
            graph.add_submodule(path, Clamp(low * growth, high * growth))
            node.op, node.target, node.args, node.kwargs = "call_module", path, (before,), {}
        node = before


@torch.no_grad()
def _values(graph: fx.GraphModule, names: Sequence[str], images: Stored | StoredInputs | HostImages
            ) -> dict[str, Tensor]:
    """Return what stages of a float graph put out at some positions of some images, shape (positions, channels)."""
    ends = {stage.name: stage.end for stage in stages(graph)}
    starts = graph.graph.find_nodes(op="placeholder")
    segment = Segment(graph, starts, [ends[name] for name in names])
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    some = torch.arange(0, len(images), max(len(images) // IMAGES, 1))[:IMAGES]
    for which in pieces(graph.graph.nodes, len(some)):
        given = dict(zip(starts, each(images.values(some[which])), strict=True))
        found = segment.run(given)
        for name in names:
            value = found[ends[name]]
            flat = value.flatten(2) if value.ndim > 2 else value[:, :, None]
            parts[name].append(at_positions(flat, positions(len(value), flat.shape[2], POSITIONS * len(value))))
    return {name: torch.cat(of_stage) for name, of_stage in parts.items()}
