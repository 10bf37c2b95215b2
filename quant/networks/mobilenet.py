"""MobileNetV2: inverted residuals with linear bottlenecks.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, arXiv 1801.04381, table 2. Names
and shapes of all parameters and buffers are those of torchvision, whose checkpoints load as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

__all__ = ["MobileNetV2"]

GROUPS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""(expansion, channels out, blocks, stride of the first block)."""
STEM, HEAD = 32, 1280
"""Channels of the first and of the last convolution."""


class InvertedResidual(nn.Module):
    """Expand by 1 x 1, filter depthwise by 3 x 3, project by 1 x 1 without an activation; a shortcut if shapes allow.

    Parameters
    ----------
    channels_in, channels_out : int
    stride : int
        Of the depthwise convolution.
    expansion : int
        Channels inside over channels in; with 1 nothing expands.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        inside = channels_in * expansion
        expand = [] if expansion == 1 else [_normed(channels_in, inside, 1)]
        self.conv = nn.Sequential(
            *expand, _normed(inside, inside, 3, stride, groups=inside),
            nn.Conv2d(inside, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out))
        self.shortcut = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x + self.conv(x) if self.shortcut else self.conv(x))


class MobileNetV2(nn.Module):
    """MobileNetV2; as it stands of width 1: 3 504 872 parameters, 301 M multiplications for an image of 224 x 224.

    Parameters
    ----------
    classes : int
    groups : sequence of (expansion, channels out, blocks, stride of the first block)
    head : int
        Channels of the last convolution.
    stem_stride, stem : int
        Stride and channels of the first convolution.
    channels : int
        Of the image.

    Examples
    --------
    >>> import torch
    >>> MobileNetV2().eval()(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 1000])
    """

    def __init__(self, classes: int = 1000, groups: Sequence[tuple[int, int, int, int]] = GROUPS, head: int = HEAD,
                 stem_stride: int = 2, stem: int = STEM, channels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [_normed(channels, stem, 3, stem_stride)]
        inside = stem
        for expansion, width, blocks, stride in groups:
            for block in range(blocks):
                layers.append(InvertedResidual(inside, width, 1 if block else stride, expansion))
                inside = width
        self.features = nn.Sequential(*layers, _normed(inside, head, 1))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(head, classes))

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.classifier(self.flatten(self.avgpool(self.features(x)))))


def _normed(channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return a convolution that keeps the size up to its stride, with BatchNorm and ReLU6."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out), nn.ReLU6())
