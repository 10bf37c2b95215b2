"""A quantized model with the bits that were chosen for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy

import torch
from torch import Tensor, fx, nn

from quant.bits.sites import sites
from quant.convert import round_biases
from quant.lowering.lower import lower
from quant.quantizers.base import ActivationQuantizer
from quant.quantizers.strict import has_power_of_two_steps
from quant.trace.checks import check_data
from sim.errors import InputError
from sim.io.bounds import shown

__all__ = ["with_bits"]


@torch.inference_mode(False)  # what learns later must not be made of inference tensors
def with_bits(model: fx.GraphModule, bits: Mapping[str, tuple[int, int]], images: Tensor) -> fx.GraphModule:
    """Return a copy of a quantized model with these bits, its steps fitted anew where they change.

    Parameters
    ----------
    model : fx.GraphModule
        From `quantize`, in eval mode, best at 8 bits: biases of strict powers of two are rounded to its steps.
    bits : mapping of layer to (int, int)
        Bits of the weights and of the tensor that the layer reads, for every layer, as `Allocation.bits` has them. The
        width of an input is the host's and stays, and so does that of weights that are all 1.
    images : float Tensor, shape (n, C, H, W)
        Every tensor's step is fitted to what they become at its place, after the quantizers before it.

    Returns
    -------
    fx.GraphModule
        In eval mode.

    Raises
    ------
    InputError
        If layers are unknown or missing, readers of one tensor have different bits for it, or a width is out of range.
    """
    check_data(images, "images")
    changed = deepcopy(model)
    strict = has_power_of_two_steps(changed)
    found = sites(changed, lower(changed, images[:1]))
    _check_layers(bits, [site.layer for site in found])
    widths: dict[str, int] = {}
    hooks = []
    try:
        for site in found:
            weight_bits, activation_bits = bits[site.layer]
            if site.module is not None and site.module.weight_quantizer.bits != weight_bits:
                site.module.weight_quantizer.set_bits(weight_bits, site.module.weight.detach())
            if widths.setdefault(site.tensor, activation_bits) != activation_bits:
                raise InputError(f"layers that read '{site.tensor}' must have the same bits for it, not "
                                 f"{widths[site.tensor]} and {activation_bits}")
            if not site.is_input and site.activation.bits != activation_bits:
                hooks.append(site.activation.register_forward_pre_hook(_fit(site.activation, activation_bits)))
        with torch.no_grad():
            changed(images)
    finally:
        for hook in hooks:
            hook.remove()
    if strict:
        round_biases(changed)
    return changed


def _fit(quantizer: ActivationQuantizer, bits: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def fit(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        if quantizer.bits != bits:
            quantizer.set_bits(bits, args[0])

    return fit


def _check_layers(bits: Mapping[str, tuple[int, int]], layers: list[str]) -> None:
    if strangers := bits.keys() - {*layers}:
        raise InputError(f"bits of layer '{shown(min(strangers))}': the model has no such layer")
    if missing := {*layers} - bits.keys():
        raise InputError(f"bits of layer '{min(missing)}' are missing")
