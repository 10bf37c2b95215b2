"""Measure the distance of a unit's output from what it was in float."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["distance", "loss_exponent"]

KAPPA = 0.9


def distance(output: Tensor, target: Tensor, exponent: float) -> Tensor:
    """Sum over channels of |output - target|**exponent, averaged over images and pixels.

    >>> distance(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]]), 2.0)
    tensor(5.)
    """
    error = (output - target).abs()
    powered = error.square() if exponent == 2 else error**exponent
    return powered.sum(1).mean()


def loss_exponent(norm: nn.BatchNorm2d | None) -> float:
    """Return RAPQ's exponent for a unit that ends with this norm: 1 + 0.9 * sigmoid(mean gain - 1), to one decimal.

    2 for units without one. The released code of the paper has (sum of the gains - 1) / channels where this has the
    mean gain - 1.

    >>> loss_exponent(nn.BatchNorm2d(4)), loss_exponent(None)
    (1.4, 2.0)
    """
    if norm is None or not norm.affine:
        return 2.0
    gain = float(norm.weight.detach().mean()) - 1.0
    return round(1.0 + KAPPA * float(torch.sigmoid(torch.tensor(gain))), 1)
