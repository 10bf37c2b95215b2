"""Choose how each weight rounds, and at which step, so that what a unit puts out stays what it was in float.

Unit after unit in execution order: the input comes from the quantized units before, the target from the float model,
so that a unit also makes up for errors before it. All weights of a unit learn together (BRECQ: Li et al., ICLR 2021,
arXiv 2102.05426), reading tensors of which a random half of the elements is left unquantized (QDrop: Wei et al., ICLR
2022, arXiv 2203.05740). Power-of-two steps move while the rounding is learnt (RAPQ: Yao et al., IJCAI 2022, arXiv
2204.12322) and are whole exponents from then on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import cast

import torch
from torch import Tensor, fx, nn

from quant.convert import round_biases
from quant.factors import as_stored, factors_of
from quant.ptq.loss import distance, loss_exponent
from quant.ptq.prefix import CHUNK, Prefix, between, run_nodes
from quant.ptq.rounding import SoftRounding
from quant.ptq.units import Unit, layer_of, units
from quant.quantizers.base import ActivationQuantizer, Quantizer
from quant.quantizers.power_of_two import PowerOfTwoActivation
from quant.quantizers.strict import check_steps, has_power_of_two_steps
from quant.trace.checks import check_data
from quant.trace.frontend import as_floats, read_model
from quant.trace.stages import Stage, stages
from quant.training.memory_format import safe_for_gradients
from sim.errors import InputError

__all__ = ["Reconstruction", "reconstruct"]

CALIBRATION = 32, 1024
"""Fewest and most images: with fewer a unit learns them by heart, more change nothing and fill the memory."""


@dataclass(frozen=True)
class Reconstruction:
    """How to reconstruct.

    Parameters
    ----------
    iterations, batch : int, at least 1
        Steps per unit and images in each.
    rate, exponent_rate, step_rate : float, above 0
        Adam's learning rates: of the rounding, thirty times the published one, which is meant for 20 000 iterations; of
        exponents; of real steps.
    drop : float, 0..1
        Share of the elements that stay unquantized at each step; 0: none.
    exponents : bool
        Learn power-of-two steps of weights too, and try the neighbours of those of activations.
    norm_exponent : bool
        Take the loss's exponent from the BatchNorm that ends a unit, as RAPQ does, instead of 2.
    seed : int, at least 0
    regulariser, warmup, settle : float
        Weight of the term that pushes roundings to one side; share of the iterations before it does; share in which
        exponents move.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    iterations: int = 1000
    batch: int = 32
    rate: float = 3e-2
    exponent_rate: float = 1e-2
    step_rate: float = 1e-3
    drop: float = 0.5
    exponents: bool = True
    norm_exponent: bool = False
    seed: int = 0
    regulariser: float = 0.01
    warmup: float = 0.2
    settle: float = 0.2

    def __post_init__(self) -> None:
        for name, least in (("iterations", 1), ("batch", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, not {getattr(self, name)}")
        for name in ("rate", "exponent_rate", "step_rate"):
            if not 0 < getattr(self, name) < inf:
                raise InputError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("drop", "warmup", "settle"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must be in 0..1, not {getattr(self, name)}")


Progress = Callable[[str, float, float], None]
"""Called after each unit with the name of its last layer and its mean distance from float before and after."""


def reconstruct(quantized: fx.GraphModule, model: nn.Module, data: Tensor, how: Reconstruction = Reconstruction(), *,
                progress: Progress | None = None) -> None:
    """Learn the rounding of every layer of `quantized` in place; its weights end on their grid.

    A unit whose learnt rounding is no better than rounding to nearest keeps the latter. On one machine
    and one thread the same arguments give the same bits.

    Parameters
    ----------
    quantized : fx.GraphModule
        From `quantize(model, ...)` by a scheme that folds BatchNorms; in eval mode.
    model : nn.Module
        The float model it came from, in eval mode.
    data : float Tensor, shape (n, C, H, W)
        32..1024 inputs; no labels are needed.
    how : Reconstruction
    progress : callable, optional

    Raises
    ------
    InputError
        If there are too few or too many images, they are not finite, or the model does not run on them.
    EngineError
        If a step of a power-of-two model is no power of two in the end, which would be a fault of this function.
    """
    check_data(data)
    if not CALIBRATION[0] <= len(data) <= CALIBRATION[1]:
        raise InputError(f"reconstruction takes {CALIBRATION[0]}..{CALIBRATION[1]} images, not {len(data)}")
    strict = has_power_of_two_steps(quantized)
    generator = torch.Generator().manual_seed(how.seed)
    exact = read_model(model, data)
    data = as_floats(data, exact)
    ends = {stage.name: stage for stage in stages(exact)}
    before, target = Prefix(quantized, data), Prefix(exact, data)
    for unit in units(quantized):
        found = stages(quantized)
        names, factors = {stage.end: stage.name for stage in found}, factors_of(quantized, found)
        inputs = before.of(unit.inputs)
        real = target.of([*(ends[names[node]].end for node in unit.inputs), ends[unit.last.name].end])
        norm = ends[unit.last.name].norm
        exponent = loss_exponent(cast(nn.BatchNorm2d, exact.get_submodule(norm)) if norm else None)
        wanted = {node: as_stored(real[ends[names[node]].end], factors.get(node)) for node in unit.inputs}
        learner = _Learner(quantized, unit, inputs, wanted,
                           as_stored(real[ends[unit.last.name].end], factors.get(unit.last.end)),
                           exponent if how.norm_exponent else 2.0, how, generator)
        first, last = learner.learn()
        if progress is not None:
            progress(unit.last.name, first, last)
    if strict:
        round_biases(quantized)
        check_steps(quantized)


class _Learner:
    """One unit: what it reads, quantized and real, and what it should put out."""

    def __init__(self, graph: fx.GraphModule, unit: Unit, inputs: dict[fx.Node, Tensor], real: dict[fx.Node, Tensor],
                 target: Tensor, exponent: float, how: Reconstruction, generator: torch.Generator) -> None:
        self.graph, self.unit, self.target = graph, unit, target
        self.inputs, self.real = ({node: safe_for_gradients(graph, value) for node, value in values.items()}
                                  for values in (inputs, real))
        self.exponent, self.how, self.generator = exponent, how, generator
        self.end = _before_quantizer(graph, unit.last)
        self.nodes = between(graph, inputs, [self.end])
        self.layers = [layer for stage in unit.stages if (layer := layer_of(graph, stage)) is not None]
        self.inside = {stage.end: cast(ActivationQuantizer, graph.get_submodule(stage.quantizer))
                       for stage in unit.stages[:-1] if stage.quantizer is not None}

    def learn(self) -> tuple[float, float]:
        """Return the distances from float before and after."""
        started = self.error()
        nearest = [(layer.weight.detach().clone(), layer.weight_quantizer,
                    {name: value.clone() for name, value in layer.weight_quantizer.state_dict().items()})
                   for layer in self.layers]
        self._learn_weights()
        if self.error() > started:
            for layer, (weight, quantizer, state) in zip(self.layers, nearest, strict=True):
                quantizer.load_state_dict(state)
                with torch.no_grad():
                    layer.weight.copy_(quantizer(weight))
        if self.how.exponents:
            for inner in self.inside.values():
                self._try_neighbours(inner)
        ended = self.error()
        if self.unit.last.quantizer is not None:
            cast(Quantizer, self.graph.get_submodule(self.unit.last.quantizer)).initialise(self._outputs())
        return started, ended

    def error(self) -> float:
        """Return the mean distance of the output from float, over all images."""
        return float(distance(self._outputs(), self.target, self.exponent))

    def _outputs(self) -> Tensor:
        with torch.no_grad():
            return torch.cat([run_nodes(self.graph, self.nodes, {n: v[at : at + CHUNK] for n, v in self.inputs.items()})
                              [self.end] for at in range(0, len(self.target), CHUNK)])

    def _learn_weights(self) -> None:
        how = self.how
        soft = [SoftRounding(layer.weight_quantizer, layer.weight, move_exponents=how.exponents)
                for layer in self.layers]
        quantizers = [layer.weight_quantizer for layer in self.layers]
        steps = [p for quantizer in self.inside.values() for p in quantizer.parameters()]
        lifts = [module.lift for module in soft if module.lift is not None]
        optimizer = torch.optim.Adam([{"params": [module.logit for module in soft], "lr": how.rate},
                                      {"params": lifts, "lr": how.exponent_rate},
                                      {"params": steps, "lr": how.step_rate}])
        for layer, module in zip(self.layers, soft, strict=True):
            layer.add_module("weight_quantizer", module)
        settled = int(how.settle * how.iterations) if lifts else 0
        for step in range(how.iterations):
            if step == settled:
                for module in soft:
                    module.snap()
            loss = self._loss() + how.regulariser * self._indecision(soft, step)
            if step < settled:
                loss = loss + _lift_indecision(soft, step / settled)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            for inner in self.inside.values():
                inner.project()
        for layer, quantizer, module in zip(self.layers, quantizers, soft, strict=True):
            module.snap()
            layer.weight_quantizer = quantizer
            with torch.no_grad():
                layer.weight.copy_(module.rounded())

    def _loss(self) -> Tensor:
        """Return the distance from float on a random batch, a random part of all tensors unquantized."""
        which = torch.randint(len(self.target), (self.how.batch,), generator=self.generator)
        values = {node: self._dropped(value[which], self.real[node][which]) for node, value in self.inputs.items()}
        for node in self.nodes:
            values |= {node: run_nodes(self.graph, [node], values)[node]}
            if node in self.inside:
                values[node] = self._dropped(values[node], values[cast(fx.Node, node.args[0])])
        return distance(values[self.end], self.target[which], self.exponent)

    def _dropped(self, quantized: Tensor, real: Tensor) -> Tensor:
        if self.how.drop == 0:
            return quantized
        return torch.where(torch.rand(quantized.shape, generator=self.generator) < self.how.drop, real, quantized)

    def _indecision(self, soft: list[SoftRounding], step: int) -> Tensor:
        """Return how far roundings are from up or down, sharper towards the end; 0 while it does not count yet."""
        progress = (step / self.how.iterations - self.how.warmup) / max(1.0 - self.how.warmup, 1e-9)
        if progress <= 0:
            return torch.zeros(())
        power = 20.0 - 18.0 * progress
        return sum((1.0 - (2.0 * module.up - 1.0).abs() ** power).sum() for module in soft) + torch.zeros(())

    def _try_neighbours(self, quantizer: ActivationQuantizer) -> None:
        """Keep the exponent, of the present one and its neighbours, with the smallest distance from float."""
        if isinstance(quantizer, PowerOfTwoActivation):
            errors = {}
            for exponent in [int(quantizer.exponent) + move for move in (0, -1, 1)]:
                quantizer.exponent.fill_(exponent)
                errors[exponent] = self.error()
            quantizer.exponent.fill_(min(errors, key=lambda exponent: errors[exponent]))


def _lift_indecision(soft: list[SoftRounding], progress: float) -> Tensor:
    """Return how far exponents are from one of the two, sharper towards the end of the time in which they move."""
    power = 20.0 - 18.0 * progress
    return 0.1 * sum((1.0 - (2.0 * module.lifted - 1.0).abs() ** power).sum() for module in soft) + torch.zeros(())


def _before_quantizer(graph: fx.GraphModule, stage: Stage) -> fx.Node:
    """Return the node whose value a stage's quantizer reads, or the stage's end."""
    return cast(fx.Node, stage.end.args[0]) if stage.quantizer is not None else stage.end
