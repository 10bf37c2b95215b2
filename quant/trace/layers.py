"""Layers that compute with quantized weights; training updates the underlying real weights."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from quant.quantizers.base import Quantizer

__all__ = ["QuantConv2d", "QuantLinear", "affine_of"]


class QuantConv2d(nn.Conv2d):
    """`nn.Conv2d` whose weights pass through `weight_quantizer`."""

    def __init__(self, conv: nn.Conv2d, weight_quantizer: Quantizer) -> None:
        of: Any = conv  # torch declares its options wider than its constructor takes them
        super().__init__(of.in_channels, of.out_channels, of.kernel_size, of.stride, of.padding, of.dilation, of.groups,
                         of.bias is not None, of.padding_mode)
        self.weight, self.bias = conv.weight, conv.bias
        self.weight_quantizer = weight_quantizer

    def forward(self, input: Tensor) -> Tensor:
        return self.convolve(input, self.weight_quantizer(self.weight))

    def convolve(self, input: Tensor, weight: Tensor) -> Tensor:
        """Return this layer's convolution with another weight."""
        return cast(Tensor, self._conv_forward(input, weight, self.bias))


class QuantLinear(nn.Linear):
    """`nn.Linear` whose weights pass through `weight_quantizer`."""

    def __init__(self, linear: nn.Linear, weight_quantizer: Quantizer) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None)
        self.weight, self.bias = linear.weight, linear.bias
        self.weight_quantizer = weight_quantizer

    def forward(self, input: Tensor) -> Tensor:
        return functional.linear(input, self.weight_quantizer(self.weight), self.bias)


def affine_of(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the gain and shift of a BatchNorm in eval mode, float64, shape (channels,)."""
    mean, variance = cast(Tensor, norm.running_mean).double(), cast(Tensor, norm.running_var).double()
    ones = torch.ones_like(mean)
    gain = (norm.weight.detach().double() if norm.affine else ones) / torch.sqrt(variance + norm.eps)
    return gain, (norm.bias.detach().double() if norm.affine else 0 * ones) - mean * gain
