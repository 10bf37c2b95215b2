"""Layers that compute with quantized weights; training updates the underlying real weights."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from quant.quantizers.base import ActivationQuantizer, Quantizer

__all__ = ["QuantConv2d", "QuantLinear", "affine_of", "normed"]


class QuantConv2d(nn.Conv2d):
    """`nn.Conv2d` whose weights pass through `weight_quantizer`."""

    def __init__(self, conv: nn.Conv2d, weight_quantizer: Quantizer) -> None:
        of: Any = conv  # torch declares its options wider than its constructor takes them
        super().__init__(of.in_channels, of.out_channels, of.kernel_size, of.stride, of.padding, of.dilation, of.groups,
                         of.bias is not None, of.padding_mode)
        self.weight, self.bias = conv.weight, conv.bias
        self.weight_quantizer = weight_quantizer
        self._makers: tuple[ActivationQuantizer, ...] = ()  # a tuple, so that it is no part of this layer

    def read_from(self, quantizer: ActivationQuantizer) -> None:
        """Take notice of the quantizer whose codes this layer reads: without a code for 0 they are padded by code 0."""
        self._makers = (quantizer,)

    def reads_from(self, quantizer: ActivationQuantizer) -> bool:
        """Return whether this layer knows that it reads what `quantizer` makes."""
        return self._makers == (quantizer,)

    def forward(self, input: Tensor) -> Tensor:
        return self.convolve(input, self.weight_quantizer(self.weight))

    def convolve(self, input: Tensor, weight: Tensor) -> Tensor:
        """Return this layer's convolution with another weight."""
        if not self._makers or self._makers[0].has_zero:
            return cast(Tensor, self._conv_forward(input, weight, self.bias))
        return functional.conv2d(self.padded(input), weight, self.bias, self.stride, 0, self.dilation, self.groups)

    def padded(self, input: Tensor) -> Tensor:
        """Return what this layer reads with its padding around it: zeros, or what the code 0 means if none means 0."""
        if not self._makers or self._makers[0].has_zero:
            return functional.pad(input, self._reversed_padding_repeated_twice)
        lowest = self._makers[0].lowest.to(input.dtype)
        return functional.pad(input - lowest, self._reversed_padding_repeated_twice) + lowest


class QuantLinear(nn.Linear):
    """`nn.Linear` whose weights pass through `weight_quantizer`."""

    def __init__(self, linear: nn.Linear, weight_quantizer: Quantizer) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None)
        self.weight, self.bias = linear.weight, linear.bias
        self.weight_quantizer = weight_quantizer

    def forward(self, input: Tensor) -> Tensor:
        return functional.linear(input, self.weight_quantizer(self.weight), self.bias)


def normed(layer: nn.Conv2d | nn.Linear, norm: nn.BatchNorm2d) -> nn.Conv2d | nn.Linear:
    """Return a layer that computes what it does with a BatchNorm in eval mode after it."""
    if isinstance(layer, nn.Conv2d):
        return fuse_conv_bn_eval(layer, norm)
    return fuse_linear_bn_eval(layer, cast(nn.BatchNorm1d, norm))


def affine_of(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the gain and shift of a BatchNorm in eval mode, float64, shape (channels,)."""
    mean, variance = cast(Tensor, norm.running_mean).double(), cast(Tensor, norm.running_var).double()
    ones = torch.ones_like(mean)
    gain = (norm.weight.detach().double() if norm.affine else ones) / torch.sqrt(variance + norm.eps)
    return gain, (norm.bias.detach().double() if norm.affine else 0 * ones) - mean * gain
