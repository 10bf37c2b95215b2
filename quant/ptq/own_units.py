"""Channels stored in units of their own, so that powers of two are the steps that any real number could be.

Where only depthwise convolutions read a tensor, the rows of weights that make it are rounded at the real steps that are
best. Each channel is then stored larger or smaller, so that its step is a power of two, and the filters that read it
make up for that before they are rounded. How much larger matters, too: a ReLU6 cuts all channels at one stored value,
and all have one step. Steps are chosen with that in mind.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx

from quant.calibration.fused import before_activation, clamped
from quant.calibration.patches import sums
from quant.calibration.samples import Sample
from quant.free_tensors import FreeTensor, free_tensors
from quant.ptq.scales import Alternatives, candidates
from quant.ptq.together import round_layer
from quant.ptq.units import layer_of
from quant.quantizers.power_of_two import PowerOfTwoWeight
from quant.quantizers.uniform import UniformWeight
from quant.stages.stage import Stage

__all__ = ["growing", "round_in_own_units"]

OCTAVES = 2
"""By how many a channel grows or shrinks at most."""
PARTS = 8
"""Growths that are told apart in each octave."""
POSITIONS = 2048
"""Positions that say what a cut costs."""
LEAST_ACTIVE = 0.01


def growing(graph: fx.GraphModule, found: Sequence[Stage]) -> dict[fx.Node, FreeTensor]:
    """Return the tensors of a quantized graph whose channels can have units of their own, by the ends of their stages.

    There are some only if the graph's scheme gives tensors their own units.
    """
    free = free_tensors(graph, found) if graph.meta.get("own_units") else []
    return {tensor.stage.end: tensor for tensor in free}


@torch.no_grad()
def round_in_own_units(graph: fx.GraphModule, tensor: FreeTensor, sample: Sample, target: Tensor,
                       fisher: Tensor) -> Tensor:
    """Do what `round_layer` does with any real steps; then let each channel grow until its step is a power of two.

    The step of the tensor is fitted anew.

    Parameters
    ----------
    graph : fx.GraphModule
        Quantized, with a `PowerOfTwoWeight` in the layer that makes the tensor.
    tensor : FreeTensor
    sample, target, fisher
        As for `round_layer`, nothing being added.

    Returns
    -------
    float64 Tensor, shape (channels,)
        By how much each channel has grown; its readers know nothing of it yet.
    """
    layer = layer_of(graph, tensor.stage)
    assert layer is not None
    strict = layer.weight_quantizer
    assert isinstance(strict, PowerOfTwoWeight)
    real = UniformWeight(strict.bits, channels=strict.channels, mirror=strict.mirror, bipolar=strict.bipolar)
    real.to(layer.weight).initialise(layer.weight)
    costs = _Costs(graph, tensor, target)
    layer.weight_quantizer = real
    try:
        round_layer(layer, sample, target, tensor.stage.residual_sign, fisher,
                    Alternatives(candidates(strict, layer.weight), costs))
    finally:
        layer.weight_quantizer = strict
    growth = costs.growth(real.step)
    power = torch.exp2((real.step.abs().double() * growth).log2().round())
    strict.set_scale((power * real.step.sign()).float())
    layer.weight.copy_(real.rounded(layer.weight) * strict.scale.reshape(-1, *[1] * (layer.weight.ndim - 1)))
    if layer.bias is not None:
        layer.bias *= growth.to(layer.bias)
    values = before_activation(graph, tensor.stage, sums(sample.read, layer.weight), None)
    tensor.quantizer(graph).initialise(clamped(tensor.stage, values))
    return growth


class _Costs:
    """What it costs that a channel grows, in units of the squared errors of what its layer puts out.

    Parameters
    ----------
    graph : fx.GraphModule
    tensor : FreeTensor
    target : Tensor, shape (positions, channels)
        What the activation reads in float.
    """

    def __init__(self, graph: fx.GraphModule, tensor: FreeTensor, target: Tensor) -> None:
        stage = tensor.stage
        octaves = torch.arange(-OCTAVES * PARTS, OCTAVES * PARTS + 1, dtype=torch.float64) / PARTS
        quantizer = tensor.quantizer(graph)
        step = float(quantizer.scale.detach())
        ceiling = min(stage.ceiling, (quantizer.format.high - quantizer.zero) * step)
        active = ((target > stage.floor) & (target < ceiling)).double().mean(0)
        rounding = (step**2 / 12) * torch.exp2(-2 * octaves)[:, None] * active
        some = target[:: max(len(target) // POSITIONS, 1)].clamp(max=ceiling * 2.0**OCTAVES)
        cut = [(some.clamp(max=ceiling * 2.0**-octave) - some.clamp(max=ceiling)).square().mean(0).double()
               for octave in octaves.tolist()]
        table = (rounding + torch.stack(cut)) * len(target) / active.clamp(min=LEAST_ACTIVE)
        parts = torch.stack([table[octave * PARTS : (octave + 1) * PARTS + 1] for octave in range(2 * OCTAVES)])
        self.least, self.octave = parts.min(0)

    def __call__(self, scales: Tensor) -> Tensor:
        """Return the costs of scales, shape (candidates, channels), if channels grow as `growth` says."""
        return self.least.gather(0, self._part(scales)[0])

    def growth(self, scales: Tensor) -> Tensor:
        """Return by how much each channel grows, float64 of the shape of scales (channels,)."""
        part, rest = self._part(scales[None])
        return torch.exp2(rest + self.octave.gather(0, part) - OCTAVES)[0]

    def _part(self, scales: Tensor) -> tuple[Tensor, Tensor]:
        """Return which part of an octave lies between scales and the powers of two above them, and how much it is."""
        octaves = -scales.abs().double().log2()
        rest = octaves - octaves.floor()
        return (rest * PARTS).round().long(), rest

