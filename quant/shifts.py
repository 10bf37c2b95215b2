"""Averages and lone BatchNorms of a float network as shifts: the rest of their multipliers moves into what reads them.

An average over 49 pixels becomes the sum times 2**-6, which is 49/64 of it; every convolution and linear layer that
reads it multiplies its weights by 64/49 before they are quantized. A BatchNorm that follows no convolution keeps a gain
of 2**k or -(2**k) per channel, and its readers take up the rest. ReLU, max pools, flattening and averages pass factors
on, because all of them are above 0; the model's output leaves its factor to the host.
"""

from __future__ import annotations

from math import isinf
from typing import cast

import torch
from torch import Tensor, fx, nn

from quant.factors import absorb, along_axis
from quant.layers.averages import Cells, HostScale, ShiftAverage, Window
from quant.layers.quantized import affine_of
from quant.layers.spread import moved
from quant.stages.operators import average_of
from quant.stages.outputs import output_stages
from quant.stages.stage import Stage
from quant.stages.stages import stages
from quant.trace.calls import module_of
from quant.trace.naming import free_path
from quant.trace.shapes import shape_of
from quant.trace.taps import outputs_of
from sim.errors import InputError

__all__ = ["shift_averages_and_norms"]


def shift_averages_and_norms(graph: fx.GraphModule) -> dict[str, Tensor]:
    """Make every multiplication of averages and lone BatchNorms one shift, in place; the network computes the same.

    Parameters
    ----------
    graph : fx.GraphModule
        From `read_model`, with its shapes; BatchNorms that follow convolutions are folded.

    Returns
    -------
    dict of str to Tensor, shape (channels,)
        By how much what a stage stored was larger before, by the stage's name, where it was.

    Raises
    ------
    InputError
        If a factor meets an add, a ReLU6, or an output whose channels would need several.
    """
    shifts = _Shifts(graph)
    found = stages(graph)
    for stage in found:
        shifts.take(stage)
    for node, stage in zip(outputs_of(graph), output_stages(graph, found), strict=True):
        shifts.scale_output(node, stage)
    graph.delete_all_unused_submodules()
    graph.graph.lint()
    graph.recompile()
    return {stage.name: shifts.factors[stage.end] for stage in stages(graph) if stage.end in shifts.factors}


class _Shifts:
    """Walks the stages in order; `factors` and the words in `origins` belong to the ends that have a factor."""

    def __init__(self, graph: fx.GraphModule) -> None:
        self.graph = graph
        self.factors: dict[fx.Node, Tensor] = {}
        self.origins: dict[fx.Node, str] = {}

    def take(self, stage: Stage) -> None:
        factor, origin = self._of_operands(stage)
        if stage.is_product:
            factor, origin = self._of_product(stage, factor, origin)
        elif stage.residual in self.factors:
            raise InputError(f"'{stage.name}' adds {self.origins[stage.residual]}")
        if stage.kind in ("conv", "linear") and factor is not None:
            absorb(cast(nn.Conv2d | nn.Linear, module_of(self.graph, stage.compute)), factor)
            factor = None
        if stage.kind == "average" and (count := self._count(stage)).bit_count() != 1:
            share = count / (1 << count.bit_length())
            self._shift_average(stage, share)
            factor = (self._ones(stage.compute) if factor is None else factor) / share
            origin = (f"what average '{stage.name}' puts out; with steps of powers of two it must be over 2**k values, "
                      f"not {count}")
        if stage.norm is not None:
            factor = self._shift_norm(stage, factor)
            origin = f"what BatchNorm '{stage.norm}' puts out; with steps of powers of two its gains must be 2**k"
        if factor is None or bool((factor == 1).all()):
            return
        if stage.residual is not None and not stage.is_product:
            raise InputError(f"'{stage.name}' adds to {origin}")
        if stage.function is not None:
            raise InputError(f"'{stage.name}' takes a function of {origin}")
        if not all(isinf(end) or end == 0 for end in (stage.floor, stage.ceiling)):
            raise InputError(f"'{stage.name}' clamps {origin}")
        self.factors[stage.end], self.origins[stage.end] = factor, origin

    def _of_product(self, stage: Stage, factor: Tensor | None, origin: str) -> tuple[Tensor | None, str]:
        """Return the factor that a product has by its operands, and where it comes from."""
        other = self.factors.get(cast(fx.Node, stage.residual))
        if other is None:
            return factor, origin
        origin = origin or self.origins[cast(fx.Node, stage.residual)]
        return other * (self._ones(stage.compute) if factor is None else factor), origin

    def _of_operands(self, stage: Stage) -> tuple[Tensor | None, str]:
        """Return the factor that a stage's values have before its layer, and where it comes from."""
        given = [node for node in (stage.source, *stage.parts) if node in self.factors]
        if not given:
            return None, ""
        origin = self.origins[given[0]]
        if stage.parts:
            return torch.cat([self.factors.get(part, self._ones(part)) for part in stage.parts]), origin
        factor = self.factors[given[0]]
        if stage.kind == "selection":
            read = along_axis(factor, _channels(cast(fx.Node, stage.compute.args[0])))
            factor = moved(module_of(self.graph, stage.compute), read, zeros=1.0)
        elif stage.is_part and stage.kind == "copy":
            factor = along_axis(factor, _channels(stage.compute))
        return factor, origin

    def _ones(self, node: fx.Node) -> Tensor:
        return torch.ones(_channels(node), dtype=torch.float64)

    def _count(self, stage: Stage) -> int:
        """Return what an average divides by."""
        average = average_of(self.graph, stage.compute)
        size = cast("tuple[int, ...]", shape_of(cast(fx.Node, stage.compute.args[0])))[2:]
        window = average.window(size) if isinstance(average, Cells) else average
        return cast(Window, window).divisor

    def _shift_average(self, stage: Stage, share: float) -> None:
        """Make an average a sum times 2**-k, which is `share` of it."""
        node = stage.compute
        flat = len(cast("tuple[int, ...]", shape_of(node))) == 2
        path = stage.name if stage.name == str(node.target) else free_path(self.graph, stage.name)
        self.graph.add_submodule(path, ShiftAverage(average_of(self.graph, node), share, flat=flat))
        node.op, node.target, node.args, node.kwargs = "call_module", path, node.args[:1], {}

    def _shift_norm(self, stage: Stage, factor: Tensor | None) -> Tensor:
        """Leave a BatchNorm the power of two next to each gain; gives the rest, with the factor of what it reads."""
        norm = cast(nn.BatchNorm2d, self.graph.get_submodule(str(stage.norm)))
        gain, shift = affine_of(norm)
        gain = gain if factor is None else gain * factor
        power = torch.exp2(torch.where(gain == 0, 1.0, gain.abs()).log2().round())
        rest = torch.where(gain == 0, 1.0, gain.abs() / power)
        self.graph.set_submodule(str(stage.norm), _affine(norm, gain.sign() * power, shift / rest))
        return rest

    def scale_output(self, value: fx.Node, stage: Stage) -> None:
        """Let the host multiply an output, the value that a stage makes, by the factor that it still has."""
        factor = self.factors.get(stage.end)
        if factor is None:
            return
        if bool((factor != factor[0]).any()):
            raise InputError(f"the model's output is {self.origins[stage.end]}")
        if factor[0] == 1:
            return
        path = free_path(self.graph, "host_scale")
        self.graph.add_submodule(path, HostScale(float(factor[0])))
        (output,) = self.graph.graph.find_nodes(op="output")
        with self.graph.graph.inserting_before(output):
            scaled = self.graph.graph.call_module(path, (value,))
        scaled.meta["shape"] = shape_of(value)
        output.args = fx.node.map_arg(output.args, lambda node: scaled if node is value else node)


def _channels(node: fx.Node) -> int:
    return cast("tuple[int, ...]", shape_of(node))[1]


def _affine(norm: nn.BatchNorm2d, gain: Tensor, shift: Tensor) -> nn.BatchNorm1d | nn.BatchNorm2d:
    """Return a BatchNorm whose statistics do nothing: what it computes is gain * x + shift without a rounding."""
    kind = nn.BatchNorm1d if isinstance(norm, nn.BatchNorm1d) else nn.BatchNorm2d
    made = kind(norm.num_features, eps=0.0).to(cast(Tensor, norm.running_mean)).eval()
    with torch.no_grad():
        made.weight.copy_(gain)
        made.bias.copy_(shift)
    return made
