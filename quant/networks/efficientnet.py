"""EfficientNet-Lite0: inverted residuals of 3 x 3 and 5 x 5 with ReLU6, without squeeze and excitation.

Tan and Le, "EfficientNet", ICML 2019, arXiv 1905.11946; the Lite variants are those of
github.com/tensorflow/tpu, models/official/efficientnet/lite. Maps are padded as TensorFlow pads for `same`: a strided
convolution gets one row and column more at the bottom and right than at the top and left.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

from torch import Tensor, nn

__all__ = ["EfficientNetLite0"]

GROUPS = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
          (6, 320, 1, 1, 3))
"""(expansion, channels out, blocks, stride of the first block, kernel)."""
STEM, HEAD = 32, 1280
"""Channels of the first and of the last convolution."""
EPSILON = 1e-3
"""What BatchNorms add to variances."""


class InvertedResidual(nn.Module):
    """Expand by 1 x 1, filter depthwise, project by 1 x 1 without an activation; a shortcut if shapes allow.

    Parameters
    ----------
    channels_in, channels_out : int
    stride, kernel : int
        Of the depthwise convolution.
    expansion : int
        Channels inside over channels in; with 1 nothing expands.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int, kernel: int, expansion: int) -> None:
        super().__init__()
        inside = channels_in * expansion
        self.expand: nn.Module = nn.Identity() if expansion == 1 else _normed(channels_in, inside, 1)
        self.depthwise = _normed(inside, inside, kernel, stride, groups=inside)
        self.project = _normed(inside, channels_out, 1, activation=False)
        self.shortcut = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        inner = self.project(self.depthwise(self.expand(x)))
        return cast(Tensor, x + inner if self.shortcut else inner)


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0: 4 652 008 parameters, 385 M multiplications for an image of 224 x 224.

    The height and width of images are multiples of 32, so that the pads are right.

    Parameters
    ----------
    classes : int

    Examples
    --------
    >>> import torch
    >>> EfficientNetLite0().eval()(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 1000])
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.stem = _normed(3, STEM, 3, stride=2)
        blocks, inside = [], STEM
        for expansion, width, count, stride, kernel in GROUPS:
            for block in range(count):
                blocks.append(InvertedResidual(inside, width, 1 if block else stride, kernel, expansion))
                inside = width
        self.blocks = nn.Sequential(*blocks)
        self.head = _normed(inside, HEAD, 1)
        self.pool = nn.AdaptiveAvgPool2d((1, 1))
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(HEAD, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(self.blocks(self.stem(x)))
        return cast(Tensor, self.classifier(self.dropout(self.flatten(self.pool(x)))))


def _normed(channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1, *,
            activation: bool = True) -> nn.Sequential:
    """Return a convolution that keeps the size up to its stride, with BatchNorm and perhaps ReLU6."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    padding = kernel // 2
    if stride == 2:
        less, more = (kernel - 2) // 2, (kernel - 1) // 2
        layers["pad"], padding = nn.ZeroPad2d((less, more, less, more)), 0
    layers["conv"] = nn.Conv2d(channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False)
    layers["norm"] = nn.BatchNorm2d(channels_out, eps=EPSILON)
    if activation:
        layers["activation"] = nn.ReLU6()
    return nn.Sequential(layers)
