"""Constants by which a network multiplies channels and that it adds to them."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

__all__ = ["Affine"]


class Affine(nn.BatchNorm2d):
    """gain * x + shift per channel: a BatchNorm without statistics, which is the same in training as afterwards.

    Parameters
    ----------
    gain, shift : float Tensor, shape (channels,)
    """

    def __init__(self, gain: Tensor, shift: Tensor) -> None:
        super().__init__(len(gain), eps=0.0, dtype=gain.dtype)
        self.weight, self.bias = nn.Parameter(gain.clone()), nn.Parameter(shift.clone())
        self.eval()

    def extra_repr(self) -> str:
        return str(self.num_features)

    def forward(self, input: Tensor) -> Tensor:
        shape = (-1, *[1] * (input.ndim - 2))
        return torch.addcmul(self.bias.view(shape), input, self.weight.view(shape))

    def reset_running_stats(self) -> None:
        """Keep mean 0 and variance 1."""
        cast(Tensor, self.running_mean).zero_()
        cast(Tensor, self.running_var).fill_(1)
