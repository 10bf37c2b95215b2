"""Choose how each weight rounds, so that what a layer puts out stays what it was in float.

AdaRound (Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", ICML 2020, arXiv 2004.10568),
layer after layer in execution order: the input comes from the quantized layers before, the target from the float
model after the residual add and the ReLU, so that a layer also makes up for errors before it. The grid stays as it
is; only up or down is learnt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from quant.convert import round_biases
from quant.graph import Stage, module_of, stages, trace
from quant.layers import QuantConv2d, QuantLinear
from quant.quantizers.base import ActivationQuantizer, along_channels
from quant.quantizers.power_of_two import PowerOfTwoWeight

__all__ = ["reconstruct"]

RATE = 3e-2
"""Adam's learning rate: thirty times the published one, which is meant for 20 000 iterations."""
REGULARISER = 0.01
WARMUP = 0.2
"""Share of the iterations before the regulariser pushes weights to one side."""
STRETCH, SHIFT = 1.2, -0.1
"""The rectified sigmoid reaches 0 and 1 at finite arguments."""


class _Recorder(fx.Interpreter):
    """Runs a graph and keeps the values of chosen nodes."""

    def __init__(self, graph: fx.GraphModule, wanted: set[fx.Node]) -> None:
        super().__init__(graph)
        self.wanted, self.values = wanted, dict[fx.Node, Tensor]()

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n in self.wanted:
            self.values[n] = value.clone()  # what follows may change it in place
        return value


def _record(graph: fx.GraphModule, data: Tensor, *nodes: fx.Node) -> list[Tensor]:
    recorder = _Recorder(graph, set(nodes))
    with torch.no_grad():
        recorder.run(data)
    return [recorder.values[node] for node in nodes]


def reconstruct(quantized: fx.GraphModule, model: nn.Module, data: Tensor, *, iterations: int = 500,
                batch: int = 128, seed: int = 0, progress: Callable[[str, float, float], None] | None = None) -> None:
    """Learn the rounding of every layer of `quantized` in place; its weights end on their grid.

    A layer whose learnt rounding is no better than rounding to nearest keeps the latter.

    Parameters
    ----------
    quantized : fx.GraphModule
        From `quantize(model, ..., scheme="power_of_two")`; in eval mode.
    model : nn.Module
        The float model it came from, in eval mode.
    data : float Tensor, shape (n, C, H, W)
        Inputs; no labels are needed.
    iterations, batch, seed : int
        Steps per layer, images in each, and the seed of their choice.
    progress : callable, optional
        Called after each layer with its name and the mean squared error of its output before and after.
    """
    generator = torch.Generator().manual_seed(seed)
    float_graph = trace(model)
    ends = {stage.name: stage.end for stage in stages(float_graph)}
    for stage in stages(quantized):
        if stage.kind not in ("conv", "linear"):
            continue
        layer = cast(QuantConv2d | QuantLinear, module_of(quantized, stage.compute))
        (target,) = _record(float_graph, data, ends[stage.name])
        unit = _Unit(layer, stage, _record(quantized, data, *_operands(stage)), target)
        before, nearest = unit.error(), layer.weight_quantizer(layer.weight).detach()
        _learn_rounding(unit, iterations, batch, generator)
        if unit.error() > before:
            with torch.no_grad():
                layer.weight.copy_(nearest)
        if stage.quantizer is not None:
            with torch.no_grad():
                output = unit.output(layer.weight_quantizer(layer.weight))
            cast(ActivationQuantizer, quantized.get_submodule(stage.quantizer)).initialise(output)
        if progress is not None:
            progress(stage.name, before, unit.error())
    round_biases(quantized)


def _operands(stage: Stage) -> list[fx.Node]:
    return [node for node in (stage.source, stage.residual) if node is not None]


@dataclass(frozen=True)
class _Unit:
    """A layer with what it reads and what it should put out."""

    layer: QuantConv2d | QuantLinear
    stage: Stage
    operands: list[Tensor]
    target: Tensor

    def output(self, weight: Tensor, images: Tensor | slice = slice(None)) -> Tensor:
        """What the layer puts out with that weight, residual and ReLU included."""
        x, *residual = (operand[images] for operand in self.operands)
        y = (self.layer.convolve(x, weight) if isinstance(self.layer, QuantConv2d)
             else functional.linear(x, weight, self.layer.bias))
        y = sum(residual, start=y)
        return functional.relu(y).clamp(max=self.stage.ceiling) if self.stage.relu else y

    def error(self) -> float:
        """Mean squared error of the output."""
        with torch.no_grad():
            weight = self.layer.weight_quantizer(self.layer.weight)
            return float((self.output(weight) - self.target).square().mean())


def _learn_rounding(unit: _Unit, iterations: int, batch: int, generator: torch.Generator) -> None:
    layer, quantizer = unit.layer, cast(PowerOfTwoWeight, unit.layer.weight_quantizer)
    scale, fmt = along_channels(quantizer.scale, layer.weight), quantizer.format
    below = torch.floor(layer.weight.detach() / scale)
    rest = layer.weight.detach() / scale - below
    logit = torch.logit((rest - SHIFT) / STRETCH).requires_grad_()
    optimizer = torch.optim.Adam([logit], lr=RATE)
    for step in range(iterations):
        up = _rectified(logit)
        images = torch.randint(len(unit.target), (batch,), generator=generator)
        output = unit.output((below + up).clamp(fmt.low, fmt.high) * scale, images)
        loss = (output - unit.target[images]).square().flatten(1).sum(1).mean() / output[0, 0].numel()
        progress = (step / iterations - WARMUP) / (1.0 - WARMUP)
        if progress > 0:
            loss = loss + REGULARISER * (1.0 - (2.0 * up - 1.0).abs() ** (20.0 - 18.0 * progress)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        layer.weight.copy_((below + (logit > 0)).clamp(fmt.low, fmt.high) * scale)


def _rectified(logit: Tensor) -> Tensor:
    return (STRETCH * torch.sigmoid(logit) + SHIFT).clamp(0.0, 1.0)
