"""Sums of products: convolutions, matrix products, and the BatchNorms that follow them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from quant.graph.ops.operator import Operator

__all__ = ["Affine", "BatchNorm", "Conv", "ConvTranspose", "Linear", "MatMul", "pad_ends"]

_CONV: dict[int, Callable[..., Tensor]] = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_TRANSPOSE: dict[int, Callable[..., Tensor]] = {
    1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}


def pad_ends(pads: tuple[tuple[int, int], ...]) -> list[int]:
    """Return the pads (before, after) of the last axes as `torch.nn.functional.pad` wants them: the last axis first.

    >>> pad_ends(((1, 2), (3, 4)))
    [3, 4, 1, 2]
    """
    return [amount for axis in reversed(pads) for amount in axis]


@dataclass(frozen=True)
class Conv(Operator):
    """Convolve x (N, C, ...) with weights (O, C / groups, ...), and add a bias (O,) if there is a third input.

    Attributes
    ----------
    stride, dilation : tuple of int
        One for each axis after the channels.
    pads : tuple of (before, after)
        Zeros around each of these axes; negative ones cut.
    groups : int
    """

    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    groups: int = 1

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the convolution, shape (N, O, ...)."""
        x, weight, *bias = inputs
        if any(amount for axis in self.pads for amount in axis):
            x = functional.pad(x, pad_ends(self.pads))
        return _CONV[weight.ndim - 2](x, weight, *bias, stride=self.stride, dilation=self.dilation, groups=self.groups)


@dataclass(frozen=True)
class ConvTranspose(Operator):
    """Convolve x (N, C, ...) with weights (C, O / groups, ...) as the gradient of a `Conv` does.

    Attributes
    ----------
    stride, dilation : tuple of int
    pads : tuple of (before, after)
        What is cut from the ends of the output.
    output_padding : tuple of int
        What is added at the end of the output.
    groups : int
    """

    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    output_padding: tuple[int, ...]
    groups: int = 1

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the transposed convolution."""
        x, weight, *bias = inputs
        whole = _TRANSPOSE[weight.ndim - 2](x, weight, *bias, stride=self.stride, dilation=self.dilation,
                                            output_padding=self.output_padding, groups=self.groups)
        return functional.pad(whole, [-amount for amount in pad_ends(self.pads)])


@dataclass(frozen=True)
class Linear(Operator):
    """Multiply the last axis of x (..., I) by weights (O, I), and add a bias (O,) if there is a third input."""

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return x (..., O)."""
        x, weight, *bias = inputs
        return functional.linear(x, weight, *bias)


@dataclass(frozen=True)
class MatMul(Operator):
    """Multiply two values as matrices of their last two axes."""

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return x @ y."""
        x, y = inputs
        return torch.matmul(x, y)


@dataclass(frozen=True)
class BatchNorm(Operator):
    """(x - mean) / sqrt(variance + eps) * gain + shift along axis 1; inputs x, gain, shift, mean, variance.

    Attributes
    ----------
    eps : float
    """

    eps: float

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the normalised value."""
        x, gain, shift, mean, variance = inputs
        return functional.batch_norm(x, mean, variance, gain, shift, training=False, eps=self.eps)


@dataclass(frozen=True)
class Affine(Operator):
    """gain * x + shift; inputs x, gain and shift, each one number or one for each place of an axis.

    Attributes
    ----------
    axis : int
        Of x, at least 1.
    """

    axis: int

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the multiplied and shifted numbers."""
        x, gain, shift = inputs
        shape = [-1 if axis == self.axis else 1 for axis in range(x.ndim)]
        return x * gain.reshape(shape) + shift.reshape(shape)
