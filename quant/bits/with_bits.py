"""A quantized model with the bits that were chosen for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import cast

import torch
from torch import fx

from quant.bits.sites import Site, sites
from quant.calibration.host_images import HostImages, read_host_images
from quant.calibration.images import Data
from quant.calibration.options import Calibration
from quant.calibration.walk import Progress, calibrate
from quant.convert import round_biases
from quant.lowering.lower import lower
from quant.quantizers.base import ActivationQuantizer
from quant.quantizers.strict import has_power_of_two_steps
from quant.stages.stages import stages
from quant.stages.without_quantizers import without_quantizers
from quant.tensor_units import fit_units
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
        weights are taken as they are, so that those of a reconstructed or trained model are the ones to quantize, but
        for the units of tensors (`quant.tensor_units`), which are chosen anew for these bits.
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
    _set_tensor_widths(found, bits)
    if changed.meta.get("own_units"):
        _choose_units(changed, images)
    _set_weight_widths(found, bits)
    calibrate(changed, without_quantizers(changed), images.codes, changed.meta.get("calibration", Calibration()),
              progress=progress)
    if strict:
        round_biases(changed)
    return changed


def _set_tensor_widths(found: Sequence[Site], bits: Mapping[str, tuple[int, int]]) -> None:
    """Set the widths of tensors; their steps are still to be fitted."""
    widths: dict[str, int] = {}
    for site in found:
        width = bits[site.layer][1]
        if widths.setdefault(site.tensor, width) != width:
            raise InputError(f"layers that read '{site.tensor}' must have the same bits for it, not "
                             f"{widths[site.tensor]} and {width}")
        if not site.is_input:
            site.activation.set_width(width)


def _choose_units(graph: fx.GraphModule, images: HostImages) -> None:
    """Store tensors in the units that are best at their widths."""
    quantizers = {stage.name: cast(ActivationQuantizer, graph.get_submodule(stage.quantizer))
                  for stage in stages(graph) if stage.quantizer is not None}
    units = fit_units(graph, images, lambda stage: quantizers[stage.name].bits, reference=without_quantizers(graph))
    (kind, *_) = each(images.values(slice(1)))
    for name, factor in units.items():
        before = quantizers[name].factor
        quantizers[name].factor = (factor if before is None else factor * before).to(kind)


def _set_weight_widths(found: Sequence[Site], bits: Mapping[str, tuple[int, int]]) -> None:
    """Set the widths of weights, and fit their steps to them."""
    for site in found:
        if site.module is not None:
            site.module.weight_quantizer.set_bits(bits[site.layer][0], site.module.weight.detach())


def _check_layers(bits: Mapping[str, tuple[int, int]], layers: list[str]) -> None:
    if not isinstance(bits, Mapping) or not all(isinstance(pair, tuple | list) and len(pair) == 2
                                                for pair in bits.values()):
        raise InputError(f"bits must be a mapping of layers to pairs, of weight and activation bits, not {shown(bits)}")
    if strangers := bits.keys() - {*layers}:
        raise InputError(f"bits of layer '{shown(min(strangers))}': the model has no such layer")
    if missing := {*layers} - bits.keys():
        raise InputError(f"bits of layer '{min(missing)}' are missing")
