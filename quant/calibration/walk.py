"""One walk over a quantized graph in execution order: each stage is fitted to what the quantizers before it give.

Each stage in turn gets steps of its weights, its bias, the step of the tensor that it stores, and that tensor's codes
for all images. Weights and biases are judged at some positions of the output of every image, against the float network
at the same positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, fx, nn

from quant.calibration.biases import correction
from quant.calibration.fused import activated, before_activation, clamped
from quant.calibration.index_range import fit_index
from quant.calibration.options import Calibration
from quant.calibration.patches import at_positions, positions, sums
from quant.calibration.prefix import Prefix
from quant.calibration.ranges import fit_range
from quant.calibration.readers import error_weights
from quant.calibration.samples import Sample, layer_at, outputs, read_sample
from quant.calibration.stored import Stored, StoredInputs
from quant.calibration.weight_steps import choose_scale
from quant.layers.function import QuantFunction
from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.quantizers.base import ActivationQuantizer
from quant.quantizers.stepped import SteppedWeight
from quant.quantizers.tied import TiedActivation
from quant.stages.stage import Stage
from quant.stages.stages import stages
from quant.stages.ties import Tie, maker_of, ties
from quant.trace.checks import check_magnitude

__all__ = ["Progress", "calibrate"]

Instead = Mapping[fx.Node, Callable[..., Tensor]]
Progress = Callable[[str, int, int], None]
"""Called after each stage with its name, how many are done, and of how many."""


def calibrate(graph: fx.GraphModule, reference: fx.GraphModule, images: Stored | StoredInputs, how: Calibration, *,
              progress: Progress | None = None) -> None:
    """Fit the quantizers and biases of `graph` to images, in place.

    On one machine the same arguments give the same steps and biases.

    Parameters
    ----------
    graph : fx.GraphModule
        With quantizers, those of its weights fitted to the weights; in eval mode.
    reference : fx.GraphModule
        The same without quantizers, which reads what the input's quantizer puts out.
    images : Stored or StoredInputs
        Of the inputs' quantizers.
    how : Calibration
    progress : callable, optional

    Raises
    ------
    InputError
        If what a stage puts out is not finite, or too large or too small for a step.
    """
    found = stages(graph)
    ends = {stage.compute: stage.end for stage in found if stage.kind == "input"}
    starts = [ends[node] for node in graph.graph.find_nodes(op="placeholder")]
    targets: dict[str, Tensor] = {}
    if how.weight_steps == "output" or how.bias_correction:
        targets = outputs(reference, [stage for stage in stages(reference) if stage.kind in ("conv", "linear")], images)
    walk = _Walk(graph, found, Prefix(graph, images, starts), targets, how)
    for done, stage in enumerate(found, 1):
        walk.take(stage)
        if progress is not None:
            progress(stage.name, done, len(found))


class _Walk:
    def __init__(self, graph: fx.GraphModule, found: tuple[Stage, ...], prefix: Prefix, targets: dict[str, Tensor],
                 how: Calibration) -> None:
        self.graph, self.found, self.prefix, self.targets, self.how = graph, found, prefix, targets, how
        self.by_end = {stage.end: stage for stage in found}
        every = ties(found)
        self.follows = {tie.operand.end: tie for tie in every if tie.operand is not None and isinstance(
            graph.get_submodule(str(tie.operand.quantizer)), TiedActivation)}
        self.multiplied = {stage.end for tie in every for stage in tie.operands}
        self.ahead: set[fx.Node] = set()  # products whose first quantizer is fitted before they are stored

    @torch.no_grad()
    def take(self, stage: Stage) -> None:
        """Fit what belongs to a stage, then store its tensor."""
        has_layer = stage.kind in ("conv", "linear")
        if stage.kind == "input" or stage.keeps_codes or (stage.is_part and not has_layer and stage.function is None):
            return
        if (tie := self.follows.get(stage.end)) is not None:
            self._fit_ahead(tie)
        values = self._with_layer(stage) if has_layer else self._without_layer(stage)
        what = f"what '{stage.name}' puts out on the data"
        check_magnitude(values, what)
        if stage.function is not None:
            values = self._through_function(stage, values)
        if stage.quantizer is not None:
            if stage.end not in self.ahead or stage.function is not None:
                self._fit(stage, values, lambda: self._ends(self._stored_node(stage)))
            self.prefix.add(stage.end, lambda values: check_magnitude(values, what))

    def _fit(self, stage: Stage, values: Tensor, ends: Callable[[], Tensor]) -> None:
        """Fit the quantizer of a stage's tensor to values that it reads at some positions, and to the ends of all."""
        quantizer = cast(ActivationQuantizer, self.graph.get_submodule(str(stage.quantizer)))
        fit_range(quantizer, values, self.how, ends=ends,
                  weights=lambda: error_weights(self.graph, self.found, stage, values.shape[1]).to(values.device))
        if stage.end in self.multiplied:
            quantizer.shorten_zero_point()

    def _through_function(self, stage: Stage, values: Tensor) -> Tensor:
        """Fit the index of a stage's function to what it reads; gives what the function makes of that."""
        function = cast(QuantFunction, self.graph.get_submodule(str(stage.function)))
        if stage.end not in self.ahead:
            as_stored = stage.kind == "copy" and stage.residual is None and stage.norm is None
            source = maker_of(self.by_end[stage.source], self.by_end) if as_stored and stage.source else None
            fit_index(function, values, cast(ActivationQuantizer, self.graph.get_submodule(str(source.quantizer)))
                      if source is not None else None)
        return cast(Tensor, function(values))

    def _fit_ahead(self, tie: Tie) -> None:
        """Fit what a product leads to before its last operand has codes, since the operand's step follows from it."""
        operand, product, node = cast(Stage, tie.operand), tie.product, self._before_function(tie.product)
        instead: dict[fx.Node, Callable[..., Tensor]] = {operand.end: lambda x: x}
        if operand.function is not None:
            instead[self._call_of(operand.function)] = cast(
                QuantFunction, self.graph.get_submodule(operand.function)).exact
        values = self._at_positions(node, instead)
        check_magnitude(values, f"what '{product.name}' puts out on the data")
        if product.function is not None:
            fit_index(cast(QuantFunction, self.graph.get_submodule(product.function)), values, None)
        else:
            self._fit(product, values, lambda: self._ends(node, instead))
        self.ahead.add(product.end)

    def _with_layer(self, stage: Stage) -> Tensor:
        """Fit the weights and the bias of a layer; gives what the stage puts out at some positions."""
        layer = cast(QuantConv2d | QuantLinear, layer_at(self.graph, stage))
        sample, target = read_sample(self.graph, stage, self.prefix), self.targets.pop(str(stage.compute.target), None)
        quantizer = layer.weight_quantizer
        if target is not None and self.how.weight_steps == "output" and isinstance(quantizer, SteppedWeight):
            choose_scale(quantizer, self._errors(stage, sample, target))
        values = self._before_activation(stage, sample)
        if target is not None and self.how.bias_correction and stage.norm is None:
            change = correction(values, target, sample.images)
            if layer.bias is None:
                layer.bias = nn.Parameter(torch.zeros_like(change), requires_grad=layer.weight.requires_grad)
            layer.bias += change
            values = values + change
        return clamped(stage, values)

    def _before_activation(self, stage: Stage, sample: Sample) -> Tensor:
        layer = cast(QuantConv2d | QuantLinear, layer_at(self.graph, stage))
        weight = layer.weight_quantizer(layer.weight)
        return before_activation(self.graph, stage, sums(sample.read, weight), sample.residual)

    def _errors(self, stage: Stage, sample: Sample, target: Tensor) -> Callable[[], Tensor]:
        """Return what gives the mean squared error of each output channel after the activation, in units of 2**k."""
        target = torch.empty_like(self._before_activation(stage, sample)).copy_(target)  # laid out as what it meets
        corrected = self.how.bias_correction and stage.norm is None
        mean, goal = target.mean(0), activated(self.graph, stage, target)
        unit = 2.0 ** -int(torch.frexp(target.abs().max()).exponent)

        def errors() -> Tensor:
            values = self._before_activation(stage, sample)
            if corrected:
                values += mean - values.mean(0)
            return activated(self.graph, stage, values).sub_(goal).mul_(unit).square_().mean(0).double()

        return errors

    def _without_layer(self, stage: Stage) -> Tensor:
        """Return what a stage without weights gives to its function, or else puts out, at some positions."""
        return self._at_positions(self._before_function(stage))

    def _before_function(self, stage: Stage) -> fx.Node:
        """Return the node that a stage's function reads, or else its quantizer."""
        if stage.function is not None:
            return cast(fx.Node, self._call_of(stage.function).args[0])
        return self._stored_node(stage)

    def _stored_node(self, stage: Stage) -> fx.Node:
        """Return the node that a stage's quantizer reads; its end if it has none."""
        return cast(fx.Node, stage.end.args[0]) if stage.quantizer is not None else stage.end

    def _call_of(self, path: str) -> fx.Node:
        (call,) = self.graph.graph.find_nodes(op="call_module", target=path)
        return cast(fx.Node, call)

    def _at_positions(self, node: fx.Node, instead: Instead | None = None) -> Tensor:
        parts = []
        for which, values in self.prefix.run([node], instead):
            found = values[node].flatten(2) if values[node].ndim > 2 else values[node][:, :, None]
            parts.append(at_positions(found, positions(self.prefix.images, found.shape[2])[which]))
        return torch.cat(parts)

    def _ends(self, node: fx.Node, instead: Instead | None = None) -> Tensor:
        """Return the least and the largest value of a node, over all images."""
        parts = [torch.stack([values[node].min(), values[node].max()])
                 for _, values in self.prefix.run([node], instead)]
        lows, highs = torch.stack(parts).unbind(1)
        return torch.stack([lows.min(), highs.max()])
