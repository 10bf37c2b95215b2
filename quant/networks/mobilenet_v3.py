"""MobileNetV3-Small: inverted residuals with HardSwish and squeeze-and-excite.

Howard et al., "Searching for MobileNetV3", ICCV 2019, arXiv 1905.02244, table 2. Names and shapes of all parameters and
buffers are those of torchvision, whose checkpoints load as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

from torch import Tensor, nn

__all__ = ["Block", "MobileNetV3Small"]


class Block(NamedTuple):
    """An inverted residual.

    Attributes
    ----------
    kernel, inside, out : int
        Of the depthwise convolution; channels that it filters; channels that come out.
    squeezes : bool
        Whether it has squeeze-and-excite.
    swish : bool
        Whether its activation is HardSwish instead of ReLU.
    stride : int
    """

    kernel: int
    inside: int
    out: int
    squeezes: bool
    swish: bool
    stride: int


BLOCKS = (
    Block(3, 16, 16, True, False, 2), Block(3, 72, 24, False, False, 2), Block(3, 88, 24, False, False, 1),
    Block(5, 96, 40, True, True, 2), Block(5, 240, 40, True, True, 1), Block(5, 240, 40, True, True, 1),
    Block(5, 120, 48, True, True, 1), Block(5, 144, 48, True, True, 1), Block(5, 288, 96, True, True, 2),
    Block(5, 576, 96, True, True, 1), Block(5, 576, 96, True, True, 1))
STEM = 16
"""Channels of the first convolution."""
EPSILON, MOMENTUM = 1e-3, 0.01
"""Of BatchNorms."""


class SqueezeExcite(nn.Module):
    """Multiply each channel by a number that the means of all channels decide.

    Parameters
    ----------
    channels : int
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inside = _multiple_of_8(channels // 4)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.fc2 = nn.Conv2d(channels, inside, 1), nn.Conv2d(inside, channels, 1)
        self.activation, self.scale_activation = nn.ReLU(), nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x * self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x))))))


class InvertedResidual(nn.Module):
    """Expand, filter depthwise, squeeze and excite, project; a shortcut if shapes allow.

    Parameters
    ----------
    channels : int
        Channels that it reads.
    block : Block
    """

    def __init__(self, channels: int, block: Block) -> None:
        super().__init__()
        act = nn.Hardswish if block.swish else nn.ReLU
        expand = [] if block.inside == channels else [_normed(channels, block.inside, 1, act=act)]
        squeeze = [SqueezeExcite(block.inside)] if block.squeezes else []
        self.block = nn.Sequential(
            *expand, _normed(block.inside, block.inside, block.kernel, block.stride, groups=block.inside, act=act),
            *squeeze, _normed(block.inside, block.out, 1))
        self.shortcut = block.stride == 1 and channels == block.out

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x + self.block(x) if self.shortcut else self.block(x))


class MobileNetV3Small(nn.Module):
    """MobileNetV3-Small; as it stands of width 1: 2 542 856 parameters.

    Parameters
    ----------
    classes : int
    blocks : sequence of Block
    head : int
        Channels that the classifier has inside.
    stem_stride, channels : int
        Stride of the first convolution; channels of the image.

    Examples
    --------
    >>> import torch
    >>> MobileNetV3Small().eval()(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 1000])
    """

    def __init__(self, classes: int = 1000, blocks: Sequence[Block] = BLOCKS, head: int = 1024, stem_stride: int = 2,
                 channels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [_normed(channels, STEM, 3, stem_stride, act=nn.Hardswish)]
        inside = STEM
        for block in blocks:
            layers.append(InvertedResidual(inside, block))
            inside = block.out
        self.features = nn.Sequential(*layers, _normed(inside, 6 * inside, 1, act=nn.Hardswish))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(nn.Linear(6 * inside, head), nn.Hardswish(), nn.Dropout(0.2),
                                        nn.Linear(head, classes))

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.classifier(self.flatten(self.avgpool(self.features(x)))))


def _normed(channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1,
            act: type[nn.Module] | None = None) -> nn.Sequential:
    """Return a convolution that keeps the size up to its stride, with BatchNorm and perhaps an activation."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out, EPSILON, MOMENTUM), *([act()] if act is not None else []))


def _multiple_of_8(channels: int) -> int:
    """Return the multiple of 8 next to a number of channels, at least 8 and not below 90 % of it."""
    found = max(8, (channels + 4) // 8 * 8)
    return found + 8 if found < 0.9 * channels else found
