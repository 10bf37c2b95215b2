"""One unit of reconstruction: what it reads, quantized and real, what it should put out, and how it learns to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import cast

import torch
from torch import Tensor, fx

from quant.calibration.prefix import Prefix, pieces
from quant.calibration.samples import read_sample
from quant.calibration.stored import Stored, StoredInputs
from quant.factors import as_stored
from quant.ptq.loss import distance
from quant.ptq.mixing import Mixer
from quant.ptq.options import Reconstruction
from quant.ptq.output_steps import choose_step, readers_of
from quant.ptq.own_units import growing, round_in_own_units
from quant.ptq.rounding import SoftRounding
from quant.ptq.scales import choose_scales
from quant.ptq.second_order import covariance
from quant.ptq.together import positions_for, round_layer
from quant.ptq.units import Unit, layer_of
from quant.quantizers.base import ActivationQuantizer
from quant.quantizers.power_of_two import PowerOfTwoActivation
from quant.quantizers.stepped import SteppedWeight
from quant.stages.stages import stages
from quant.trace.segment import Segment

__all__ = ["Learner", "sample_of_images"]

SAMPLE = 64
"""Images that steps are chosen by."""
LEAST_POWER, MOST_POWER = 2.0, 20.0
"""Exponents of the regulariser in the end and at first."""
Values = dict[fx.Node, Stored]


def sample_of_images(images: int) -> Tensor:
    """Return some of all images, evenly spread, int64."""
    return torch.arange(0, images, max(images // SAMPLE, 1))


class Learner:
    """Learns the weights of a unit in place.

    Parameters
    ----------
    graph : fx.GraphModule
        The quantized model.
    unit : Unit
    inputs, real : dict of fx.Node to Stored
        What the unit reads for all images: as the quantized layers before it make it, and in float.
    target : Stored
        What it puts out in float: for all images, or, if weights are rounded together, for `sample_of_images`.
    sums : mapping of fx.Node to Tensor
        What the activations of its stages read in float at some positions, shape (positions, channels); needed where
        weights are rounded together.
    exponent : float
        Of the loss.
    how : Reconstruction
    generator : torch.Generator
    """

    def __init__(self, graph: fx.GraphModule, unit: Unit, inputs: Values, real: Values, target: Stored,
                 sums: Mapping[fx.Node, tuple[Tensor, Tensor]], exponent: float, how: Reconstruction,
                 generator: torch.Generator) -> None:
        self.graph, self.unit, self.inputs, self.real, self.target = graph, unit, inputs, real, target
        self.sums = sums
        self.exponent, self.how, self.generator = exponent, how, generator
        inside = {stage.end for stage in unit.stages}
        self.growing = {end: tensor for end, tensor in growing(graph, stages(graph)).items() if end in inside}
        self.grown: Tensor | None = None
        self.mixer = Mixer(how.drop, generator)
        self.end = cast(fx.Node, unit.last.end.args[0]) if unit.last.quantizer is not None else unit.last.end
        self.layers = {stage: layer for stage in unit.stages if (layer := layer_of(graph, stage)) is not None}
        self.inside = {stage.end: cast(ActivationQuantizer, graph.get_submodule(stage.quantizer))
                       for stage in unit.stages[:-1] if stage.quantizer is not None}
        self.plain = Segment(graph, inputs, [self.end])
        self.mixed = Segment(graph, inputs, [self.end], {node: self._mix(q) for node, q in self.inside.items()})

    def learn(self, tick: Callable[[int], None]) -> tuple[float, float, bool]:
        """Return the distances from float before and after, and whether the unit fell back to rounding to nearest.

        Parameters
        ----------
        tick : callable (iterations done) -> None
        """
        modules = (*self.layers.values(), *self.inside.values())
        start = [{name: value.clone() for name, value in module.state_dict().items()} for module in modules]
        before = self.error()
        if self.how.rounding == "together":
            self._round_together()
        else:
            if self.how.exponents:
                self._choose_scales()
            self._learn_weights(tick)
        after = self._try_neighbours(self.error()) if self.how.exponents else self.error()
        if after < before:
            return before, after, False
        self.grown = None
        for module, state in zip(modules, start, strict=True):
            module.load_state_dict(state)
        with torch.no_grad():
            for layer in self.layers.values():
                layer.weight.copy_(layer.weight_quantizer(layer.weight))
        return before, before, before > 0

    def finish(self) -> None:
        """Choose the step of what the unit puts out, for all that reads it."""
        if self.grown is not None:
            self.growing[self.unit.last.end].grow(self.graph, self.grown)
        if self.unit.last.quantizer is not None:
            quantizer = cast(ActivationQuantizer, self.graph.get_submodule(self.unit.last.quantizer))
            values = [found for _, found in self._run(self.plain, self.end, self._sample())]
            if self.how.exponents:
                choose_step(quantizer, readers_of(self.graph, self.unit.last.end), values)
            else:
                quantizer.initialise(torch.cat(values))

    def error(self) -> float:
        """Return the mean distance of the output from float, over all images for which that is known."""
        total, done = 0.0, 0
        images = self._sample() if self.how.rounding == "together" else torch.arange(len(self.target))
        for which, found in self._run(self.plain, self.end, images):
            target = self.target.values(slice(done, done + len(which)))
            found = as_stored(found, self.grown)
            total += float(distance(found, target, self.exponent)) * len(which)
            done += len(which)
        return total / done

    def _mix(self, quantizer: ActivationQuantizer) -> Callable[[Tensor], Tensor]:
        return lambda x: self.mixer.quantize(x, quantizer)

    def _sample(self) -> Tensor:
        return sample_of_images(len(next(iter(self.inputs.values()))))

    def _run(self, segment: Segment, node: fx.Node, images: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the values of a node for these images, part after part, and which images they are."""
        for part in pieces(self.graph.graph.nodes, len(images)):
            which = images[part]
            with torch.no_grad():
                found = segment.run({known: value.values(which) for known, value in self.inputs.items()})[node]
            yield which, found

    def _choose_scales(self) -> None:
        """Choose the scales of all weights, one layer after another on what the chosen ones before it give."""
        real = {layer: layer.weight.detach().clone() for layer in self.layers.values()}
        for stage, layer in self.layers.items():
            if isinstance(layer.weight_quantizer, SteppedWeight):
                (node,) = stage.compute.all_input_nodes
                given = self._run(Segment(self.graph, self.inputs, [node]), node, self._sample())
                moments = covariance(layer, (found for _, found in given))
                with torch.no_grad():
                    layer.weight.copy_(choose_scales(layer, layer.weight_quantizer, moments))
        with torch.no_grad():
            for layer, weight in real.items():
                layer.weight.copy_(weight)

    def _round_together(self) -> None:
        """Round the weights of each layer to what the chosen ones before it give."""
        nodes = list(self.inputs)
        given = [self.inputs[node] for node in nodes]
        prefix = Prefix(self.graph, given[0] if len(given) == 1 else StoredInputs(given), nodes)
        for stage, layer in self.layers.items():
            if isinstance(layer.weight_quantizer, SteppedWeight):
                sample = read_sample(self.graph, stage, prefix, positions_for)
                target, fisher = self.sums[stage.end]
                if stage.end in self.growing:
                    growth = round_in_own_units(self.graph, self.growing[stage.end], sample, target, fisher)
                    if stage.end is self.unit.last.end:
                        self.grown = growth
                    else:
                        self.growing[stage.end].grow(self.graph, growth)
                else:
                    round_layer(layer, sample, target, stage.residual_sign, fisher)

    def _learn_weights(self, tick: Callable[[int], None]) -> None:
        layers = list(self.layers.values())
        soft = [SoftRounding(layer.weight_quantizer, layer.weight) for layer in layers]
        optimizer = self._optimizer(soft)
        for layer, module in zip(layers, soft, strict=True):
            layer.add_module("weight_quantizer", module)
        try:
            for step in range(self.how.iterations):
                self._step(optimizer, soft, step)
                tick(step + 1)
        finally:
            for layer, module in zip(layers, soft, strict=True):
                layer.weight_quantizer = module.quantizer
                with torch.no_grad():
                    layer.weight.copy_(module.rounded())

    def _optimizer(self, soft: list[SoftRounding]) -> torch.optim.Optimizer:
        how = self.how
        groups = [{"params": [module.logit for module in soft], "lr": how.rate},
                  {"params": [p for inner in self.inside.values() for p in inner.parameters()], "lr": how.step_rate}]
        for layer in self.layers.values() if how.biases else ():
            if layer.bias is not None:  # what unit inputs would put out
                scale = float(layer.weight.detach().flatten(1).norm(dim=1).mean())
                groups.append({"params": [layer.bias], "lr": how.bias_rate * scale})
        return torch.optim.Adam([group for group in groups if group["params"]], fused=True)

    def _step(self, optimizer: torch.optim.Optimizer, soft: list[SoftRounding], step: int) -> None:
        how = self.how
        optimizer.zero_grad()
        self._loss().backward()
        progress = (step / how.iterations - how.warmup) / max(1.0 - how.warmup, 1e-9)
        if progress > 0:
            for module in soft:
                module.add_decisiveness(how.regulariser, MOST_POWER - (MOST_POWER - LEAST_POWER) * progress)
        optimizer.step()
        for inner in self.inside.values():
            inner.project()

    def _loss(self) -> Tensor:
        """Return the distance from float on a random batch, a random part of all tensors unquantized."""
        which = torch.randint(len(self.target), (self.how.batch,), generator=self.generator)
        values = {node: self.mixer.choose(value.values(which), self.real[node].values(which))
                  if node in self.real else value.values(which) for node, value in self.inputs.items()}
        return distance(self.mixed.run(values)[self.end], self.target.values(which), self.exponent)

    def _try_neighbours(self, least: float) -> float:
        """Move exponents of inner tensors by one where the unit gets nearer to float; gives its distance then."""
        for quantizer in self.inside.values():
            if isinstance(quantizer, PowerOfTwoActivation):
                kept = int(quantizer.exponent)
                for exponent in (kept - 1, kept + 1):
                    quantizer.exponent.fill_(exponent)
                    if (error := self.error()) < least:
                        least, kept = error, exponent
                quantizer.exponent.fill_(kept)
        return least
