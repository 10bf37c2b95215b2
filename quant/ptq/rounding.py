"""Weights that learn whether to round up or down.

AdaRound (Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", ICML 2020, arXiv 2004.10568)
lets each weight move between the two codes next to it by a rectified sigmoid.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from quant.quantizers.base import Quantizer, along_channels

__all__ = ["SoftRounding"]

STRETCH, SHIFT = 1.2, -0.1
"""The rectified sigmoid reaches 0 and 1 at finite arguments."""
LEAST = 0.01
"""How near to one side a weight starts: at the side itself it would have no gradient."""


class SoftRounding(nn.Module):
    """Stands in for a layer's quantizer while its rounding is learnt.

    Parameters
    ----------
    quantizer : Quantizer
        With the steps that the weights will have.
    weight : Tensor
        The real weights.

    Attributes
    ----------
    logit : nn.Parameter
        Of rounding up, the shape of the weights; at first each weight has the value that it has in float.
    """

    below: Tensor

    def __init__(self, quantizer: Quantizer, weight: Tensor) -> None:
        super().__init__()
        self.quantizer = quantizer
        levels = quantizer.levels
        self.scale = along_channels(quantizer.scale.detach(), weight)
        codes = weight.detach() / self.scale
        self.distance = levels.step
        self.below = torch.floor(codes).clamp(levels[0], levels[-2])
        share = ((codes - self.below) / self.distance).clamp(LEAST, 1.0 - LEAST)
        self.logit = nn.Parameter(torch.logit((share - SHIFT) / STRETCH))

    def forward(self, weight: Tensor) -> Tensor:
        return cast(Tensor, _Between.apply(self.logit, self.below * self.scale, self.distance * self.scale))

    def add_decisiveness(self, weight: float, power: float) -> None:
        """Add to the gradients that of `weight` times the sum of 1 - |2 * up - 1|**power, up being 0..1."""
        assert self.logit.grad is not None
        with torch.no_grad():
            sigmoid = torch.sigmoid(self.logit)
            middle = (sigmoid * STRETCH + (SHIFT - 0.5)).mul_(2.0).clamp_(-1.0, 1.0)
            slope = middle.abs().pow_(power - 1.0).mul_(middle.sign())
            slope.mul_(sigmoid).mul_(1.0 - sigmoid).mul_(middle.abs() < 1.0)
            self.logit.grad.add_(slope, alpha=-2.0 * STRETCH * power * weight)

    def rounded(self) -> Tensor:
        """Return the weights on their grid."""
        return (self.below + self.distance * (self.logit.detach() > 0)) * self.scale


class _Between(torch.autograd.Function):
    """below + up * distance, where up is the rectified sigmoid of a logit."""

    @staticmethod
    def forward(ctx: Any, logit: Tensor, below: Tensor, distance: Tensor) -> Tensor:
        sigmoid = torch.sigmoid(logit)
        ctx.save_for_backward(sigmoid, distance)
        return (sigmoid * STRETCH).add_(SHIFT).clamp_(0.0, 1.0).mul_(distance).add_(below)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        sigmoid, distance = ctx.saved_tensors
        up = sigmoid * STRETCH + SHIFT
        slope = (1.0 - sigmoid).mul_(sigmoid).mul_(distance).mul_(STRETCH).mul_((up > 0.0) & (up < 1.0))
        return slope.mul_(grads[0]), None, None
