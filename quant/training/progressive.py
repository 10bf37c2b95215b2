"""From wide bits to narrow ones: each width starts from the network that the one before has trained.

Jung et al., CVPR 2019 (QIL), table 2: on ImageNet, 2 bits gain much by way of 5, 4 and 3, each of which is trained for
as many epochs as 2 bits alone.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, fx, nn

from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.quantizers.base import ActivationQuantizer
from quant.stages.stages import stages
from quant.trace.calls import module_of
from quant.widths import widths_of
from sim.errors import InputError

__all__ = ["narrow"]


def narrow(model: fx.GraphModule, images: Tensor, old: tuple[int, int], new: tuple[int, int], *,
           first_last_bits: int | None = None, signed_bits: int | None = None) -> None:
    """Give every quantizer of the old width the new one; steps and intervals continue where training has left them.

    They keep their relation to the step of least error, which is another one at another width
    (`Quantizer.continue_with`), on the weights and on what `images` become. Each tensor's quantizer sees what the
    quantizers before it give. Quantizers of other widths stay as they are, and so do those that have their width
    whatever the others have, also where it is the old one.

    Parameters
    ----------
    model : fx.GraphModule
        Quantized; ends in eval mode.
    images : float Tensor, shape (n, C, H, W)
    old, new : (int, int)
        Bits of weights and activations.
    first_last_bits, signed_bits : int, optional
        With which the model was quantized: first and last layers, and tensors of both signs, keep them.

    Raises
    ------
    InputError
        If a width is not 1..8, there are not two old or two new ones, or no quantizer has the old widths.
    """
    for name, bits in (("old", old), ("new", new)):
        if not isinstance(bits, tuple | list) or len(bits) != 2:
            raise InputError(f"{name} must be the bits of weights and of activations, not {bits!r}")
    layers: list[QuantConv2d | QuantLinear] = []
    tensors: list[ActivationQuantizer] = []
    found = stages(model)
    before, after = (widths_of(found, *bits, first_last_bits, signed_bits) for bits in (old, new))
    for stage in found:
        change = tuple(zip(before[stage.end], after[stage.end], strict=True))
        if stage.kind in ("conv", "linear") and change[0] == (old[0], new[0]):
            layers.append(cast("QuantConv2d | QuantLinear", module_of(model, stage.compute)))
        if stage.kind != "input" and stage.quantizer is not None and change[1] == (old[1], new[1]):
            tensors.append(cast(ActivationQuantizer, model.get_submodule(stage.quantizer)))
    layers = [layer for layer in layers if layer.weight_quantizer.bits == old[0]]
    tensors = [quantizer for quantizer in tensors if quantizer.bits == old[1]]
    if not layers or not tensors:
        raise InputError(f"no quantizers have {old[0]} bits for weights and {old[1]} for activations")
    for layer in layers:
        layer.weight_quantizer.continue_with(new[0], layer.weight.detach())

    def fit(quantizer: nn.Module, args: tuple[Tensor, ...]) -> None:
        cast(ActivationQuantizer, quantizer).continue_with(new[1], args[0])

    hooks = [quantizer.register_forward_pre_hook(fit) for quantizer in tensors]
    try:
        with torch.no_grad():
            model.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
