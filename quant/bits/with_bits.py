"""A quantized model with the bits that were chosen for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy

import torch
from torch import fx

from quant.bits.sites import Site, sites
from quant.calibration.host_images import read_host_images
from quant.calibration.images import Data
from quant.calibration.options import Calibration
from quant.calibration.walk import Progress, calibrate
from quant.convert import round_biases
from quant.lowering.lower import lower
from quant.quantizers.strict import has_power_of_two_steps
from quant.stages.without_quantizers import without_quantizers
from quant.trace.inputs import each
from quant.trace.shapes import Shapes
from sim.errors import InputError
from sim.io.bounds import shown

__all__ = ["with_bits"]


@torch.inference_mode(False)  # what learns later must not be made of inference tensors
def with_bits(model: fx.GraphModule, bits: Mapping[str, tuple[int, int]], data: Data, *,
              progress: Progress | None = None) -> fx.GraphModule:
    """Return a copy of a quantized model with these bits, calibrated anew.

    Parameters
    ----------
    model : fx.GraphModule
        From `quantize`, in eval mode, best at 8 bits: biases of strict powers of two are rounded to its steps. Its
        weights are taken as they are, so that those of a reconstructed or trained model are the ones to quantize, and
        tensors stay in the units that `quantize` chose for their bits then.
    bits : mapping of layer to (int, int)
        Bits of the weights and of the tensor that the layer reads, for every layer, as `Allocation.bits` has them. The
        width of an input is the host's and stays, and so does that of weights that are all 1.
    data : float Tensor, shape (n, C, H, W), uint8 if the input is pixels; or an iterable of such batches
        As for `quantize`, and used in the same way: with the options of the model's scheme, every step and bias is
        fitted to what the images become at its place, after the quantizers before it.
    progress : callable, optional
        As for `quantize`.

    Returns
    -------
    fx.GraphModule
        In eval mode.

    Raises
    ------
    InputError
        If layers are unknown or missing, readers of one tensor have different bits for it, a width is out of range, or
        data are not inputs of the model.
    """
    images = read_host_images(model, data)
    changed = deepcopy(model)
    with torch.no_grad():
        Shapes(changed).run(*each(images.values(slice(1))))
    found = sites(changed, lower(changed, images.values(slice(1)), phases=False))
    _check_layers(bits, [site.layer for site in found])
    strict = has_power_of_two_steps(changed)
    _set_widths(found, bits)
    calibrate(changed, without_quantizers(changed), images.codes, changed.meta.get("calibration", Calibration()),
              progress=progress)
    if strict:
        round_biases(changed)
    return changed


def _set_widths(found: Sequence[Site], bits: Mapping[str, tuple[int, int]]) -> None:
    """Set all widths, and fit the weights' steps to the weights."""
    widths: dict[str, int] = {}
    for site in found:
        weight_bits, activation_bits = bits[site.layer]
        if widths.setdefault(site.tensor, activation_bits) != activation_bits:
            raise InputError(f"layers that read '{site.tensor}' must have the same bits for it, not "
                             f"{widths[site.tensor]} and {activation_bits}")
        if site.module is not None:
            site.module.weight_quantizer.set_bits(weight_bits, site.module.weight.detach())
        if not site.is_input:
            site.activation.set_width(activation_bits)


def _check_layers(bits: Mapping[str, tuple[int, int]], layers: list[str]) -> None:
    if not isinstance(bits, Mapping) or not all(isinstance(pair, tuple | list) and len(pair) == 2
                                                for pair in bits.values()):
        raise InputError(f"bits must be a mapping of layers to pairs, of weight and activation bits, not {shown(bits)}")
    if strangers := bits.keys() - {*layers}:
        raise InputError(f"bits of layer '{shown(min(strangers))}': the model has no such layer")
    if missing := {*layers} - bits.keys():
        raise InputError(f"bits of layer '{min(missing)}' are missing")
