"""Mean and deviation of pixels go into the layers that read the image.

A normalised value of channel c is x = f[c] * u + d[c], where u is what the quantizer of the input passes on. So weights
are multiplied by f, which is about 1, and biases get the sum of weight * d. d is what is lost when a mean is rounded to
a pixel: at most half a pixel's step. Padding means the mean pixel, u = 0, from then on, instead of x = 0.

A BatchNorm, or constants, that alone read an image normalise it once more: they become part of mean and deviation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, fx, nn

from quant.data.pixels import PIXEL_FORMAT, Pixels
from quant.layers.arranged import Arranged
from quant.layers.quantized import affine_of
from quant.quantizers.pixel import PixelActivation
from quant.stages.stage import Stage
from quant.stages.stages import NORMS, stages
from quant.trace.calls import module_of
from quant.trace.refusals import refuse
from quant.trace.shapes import shape_of
from sim.errors import InputError

__all__ = ["fold_norms", "fold_pixels"]

WORDS = {"average": "an average", "max": "a max pool", "copy": "an add, BatchNorm or ReLU by itself",
         "selection": "a layer that only moves values"}


def fold_norms(graph: fx.GraphModule, makers: Mapping[fx.Node, PixelActivation]) -> None:
    """Make BatchNorms that alone read an image part of what its pixels mean, in place.

    Those of a gain that is not above 0, or of a mean that no pixel has, stay where they are.

    Parameters
    ----------
    graph : fx.GraphModule
        From `read_model`.
    makers : mapping of fx.Node to PixelActivation
        Quantizers of the inputs that are pixels.
    """
    for source, maker in makers.items():
        (reader, *others) = source.users
        norm = _module(graph, reader)
        if others or not isinstance(norm, NORMS):
            continue
        meaning = _normed(maker.meaning, *affine_of(cast(nn.BatchNorm2d, norm)))
        if meaning is not None:
            maker.mean_that(meaning)
            reader.replace_all_uses_with(source)
            graph.graph.erase_node(reader)
    graph.delete_all_unused_submodules()
    graph.recompile()


def _normed(pixels: Pixels, gain: Tensor, shift: Tensor) -> Pixels | None:
    """Return what pixels mean after another gain and shift, None if no `Pixels` can."""
    found = [(mean - add * deviation / by if by > 0 else -1.0, deviation / by if by > 0 else 0.0) for
             mean, deviation, by, add in zip(pixels.mean, pixels.deviation, gain.tolist(), shift.tolist(), strict=True)]
    try:
        return Pixels(tuple(mean for mean, _ in found), tuple(deviation for _, deviation in found))
    except InputError:
        return None


def fold_pixels(graph: fx.GraphModule, makers: Mapping[fx.Node, PixelActivation]) -> None:
    """Make the layers that read inputs of a float graph read what `PixelActivation` passes on.

    Parameters
    ----------
    graph : fx.GraphModule
        From `read_model`; its layers are changed in place.
    makers : mapping of fx.Node to PixelActivation
        Quantizers of the inputs that are pixels.

    Raises
    ------
    InputError
        If anything but convolutions and linear layers reads such an input.
    """
    found = stages(graph)
    for source in found:
        if source.kind == "input" and source.compute in makers:
            _fold_input(graph, found, source, makers[source.compute])


def _fold_input(graph: fx.GraphModule, found: tuple[Stage, ...], source: Stage, maker: PixelActivation) -> None:
    """Fold mean and deviation of one input."""
    readers = [stage for stage in found if source.end in (stage.source, stage.residual)]
    refuse(f"pixels can only be read by convolutions and linear layers, which take up their mean and deviation, not "
           f"by {_what(stage, source)} ('{stage.name}')" for stage in readers
           if stage.kind not in ("conv", "linear") or stage.residual is source.end)
    step, image = float(maker.scale), cast("tuple[int, ...]", shape_of(source.compute))[1:]
    arranged = next((of for user in source.end.users if isinstance(of := _module(graph, user), Arranged)), None)
    for stage in readers:
        _fold(cast(nn.Conv2d | nn.Linear, module_of(graph, stage.compute)), maker.meaning, step, image, arranged)


def _module(graph: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return module_of(graph, node) if node.op == "call_module" else None


def _what(stage: Stage, source: Stage) -> str:
    if stage.is_part and stage.kind == "copy":
        return "a concatenation"
    return "an add" if stage.residual is source.end else WORDS[stage.kind]


@torch.no_grad()
def _fold(layer: nn.Conv2d | nn.Linear, pixels: Pixels, step: float, image: tuple[int, ...],
          arranged: Arranged | None) -> None:
    """Change the weights and the bias of a layer that reads images of this shape."""
    weight = layer.weight.double()
    largest = PIXEL_FORMAT.high
    factors = [1.0 / (largest * deviation * step) for deviation in pixels.deviation]
    rests = [(code / largest - mean) / deviation
             for code, mean, deviation in zip(pixels.mean_codes, pixels.mean, pixels.deviation, strict=True)]
    if arranged is not None:
        factors, rests, image = arranged.of_channels(factors), arranged.of_channels(rests), arranged.shape
    added = (weight * _along_inputs(layer, rests, image)).flatten(1).sum(1)
    layer.weight.copy_(weight * _along_inputs(layer, factors, image))
    bias = added if layer.bias is None else layer.bias.double() + added
    learns = layer.weight.requires_grad if layer.bias is None else layer.bias.requires_grad
    layer.bias = nn.Parameter(bias.to(layer.weight), requires_grad=learns)


def _along_inputs(layer: nn.Conv2d | nn.Linear, numbers: list[float], image: tuple[int, ...]) -> Tensor:
    """Return one number for each channel of the image, shaped to multiply the weights."""
    by_channel = torch.tensor(numbers, dtype=torch.float64, device=layer.weight.device)
    if isinstance(layer, nn.Linear):
        return by_channel.repeat_interleave(image[1] * image[2])
    inputs = layer.in_channels // layer.groups
    by_group = by_channel.reshape(layer.groups, 1, inputs).expand(-1, layer.out_channels // layer.groups, -1)
    return by_group.reshape(layer.out_channels, inputs, 1, 1)
