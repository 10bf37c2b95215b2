"""Quantize a network without training, from pictures without labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import fx, nn

from benchmarks.real.judge import chunks
from benchmarks.real.measure import Files
from benchmarks.real.record import Clock
from quant.convert import quantize
from quant.data.images import Images
from quant.ptq.options import Reconstruction
from quant.ptq.reconstruct import reconstruct
from quant.schemes import power_of_two, uniform

__all__ = ["PRESETS", "PostTraining", "quantized", "quantizers_of"]

PRESETS: dict[str, Reconstruction | None] = {"none": None, "fast": Reconstruction.fast(),
                                             "short": replace(Reconstruction.fast(), downscale=1),
                                             "full": Reconstruction()}
"""How to reconstruct, by name; `short` is `fast` at full resolution, for images that are small already."""
UNMIRRORED = {"power_of_two": power_of_two(mirrored=False), "uniform": uniform(mirrored=False)}
"""Schemes by name, without a sign for each output channel."""


@dataclass(frozen=True)
class PostTraining:
    """How to quantize.

    Attributes
    ----------
    bits : str
        Of weights and activations, as "4/8".
    scheme : str
        A name of `quant.schemes.SCHEMES`.
    preset : str
        A name of `PRESETS`.
    mirrored : bool
        Whether output channels choose a sign.
    signed_bits : int or None
        Of tensors of both signs, if they have a width of their own.
    outer_bits : int
        Of the weights of first and last layers and of what the last one reads.
    """

    bits: str
    scheme: str
    preset: str
    mirrored: bool = True
    signed_bits: int | None = None
    outer_bits: int = 8


def quantizers_of(net: nn.Module, images: Images, how: PostTraining) -> fx.GraphModule:
    """Return the network with quantizers whose steps were fitted on `images`."""
    weight_bits, activation_bits = map(int, how.bits.split("/"))
    given: dict[str, Any] = ({"pixels": images.pixels} if images.pixels is not None else
                             {"input_format": images.format, "input_exponent": images.exponent})
    batches = (images.values(which) for which in chunks(images))
    scheme = how.scheme if how.mirrored else UNMIRRORED[how.scheme]
    return quantize(net, batches, scheme=scheme, weight_bits=weight_bits, activation_bits=activation_bits,
                    first_last_bits=how.outer_bits, signed_bits=how.signed_bits, **given)


def quantized(net: nn.Module, images: Images, how: PostTraining, files: Files, clock: Clock) -> fx.GraphModule:
    """Return the quantized network, calibrated and reconstructed on `images`."""
    with clock.stage("quantize"):
        model = quantizers_of(net, images, how)
    recipe = PRESETS[how.preset]
    if recipe is not None:
        files.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        with clock.stage("reconstruct"):
            reconstruct(model, net, images.values(slice(None)), recipe, checkpoint=files.checkpoint,
                        progress=lambda unit: clock.tick())
    return model
