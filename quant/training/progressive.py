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
from sim.errors import InputError

__all__ = ["narrow"]


def narrow(model: fx.GraphModule, images: Tensor, old: tuple[int, int], new: tuple[int, int]) -> None:
    """Give every quantizer of the old width the new one; steps and intervals continue where training has left them.

    They keep their relation to the step of least error, which is another one at another width
    (`Quantizer.continue_with`), on the weights and on what `images` become. Each tensor's quantizer sees what the
    quantizers before it give. Quantizers of other widths, such as those of first and last layers, stay as they are.

    Parameters
    ----------
    model : fx.GraphModule
        Quantized; ends in eval mode.
    images : float Tensor, shape (n, C, H, W)
    old, new : (int, int)
        Bits of weights and activations.

    Raises
    ------
    InputError
        If no quantizer has the old widths, or a new one is not 1..8.
    """
    layers = [module for module in model.modules() if isinstance(module, QuantConv2d | QuantLinear)
              and module.weight_quantizer.bits == old[0]]
    tensors = [quantizer for stage in stages(model) if stage.quantizer is not None and stage.kind != "input"
               and (quantizer := cast(ActivationQuantizer, model.get_submodule(stage.quantizer))).bits == old[1]]
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
