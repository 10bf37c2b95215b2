"""Residual networks of basic blocks for images: ResNet-18 and ResNet-34.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv 1512.03385, table 1. Names and shapes of
all parameters and buffers are those of torchvision, whose checkpoints load as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn

from quant.layers.selection import ZEROS, Selection
from sim.io.bounds import MAX_EXTENT

__all__ = ["ResNet", "Shortcut", "group_of_blocks", "project", "resnet18", "resnet34", "subsample"]

Shortcut = Callable[[int, int, int], nn.Module]
"""(channels in, channels out, stride) -> what the shortcut does where shapes change."""

WIDTHS = (64, 128, 256, 512)
"""Channels of the four groups of blocks."""


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut.

    Parameters
    ----------
    channels_in, channels_out : int
    stride : int
        Of the first convolution and of the shortcut.
    shortcut : callable
        Makes the shortcut where shapes change: `project` or `subsample`.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels_in != channels_out:
            self.downsample = shortcut(channels_in, channels_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        inner = self.relu(self.bn1(self.conv1(x)))
        return cast(Tensor, self.relu(self.bn2(self.conv2(inner)) + shortcut))


class ResNet(nn.Module):
    """A residual network for images of 3 channels.

    Parameters
    ----------
    blocks : tuple of 4 int
        How many blocks each group has.
    classes : int

    Examples
    --------
    >>> import torch
    >>> resnet18().eval()(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 1000])
    """

    def __init__(self, blocks: tuple[int, int, int, int], classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = group_of_blocks(WIDTHS[0], WIDTHS[0], blocks[0], stride=1)
        self.layer2 = group_of_blocks(WIDTHS[0], WIDTHS[1], blocks[1], stride=2)
        self.layer3 = group_of_blocks(WIDTHS[1], WIDTHS[2], blocks[2], stride=2)
        self.layer4 = group_of_blocks(WIDTHS[2], WIDTHS[3], blocks[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(WIDTHS[3], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return cast(Tensor, self.fc(self.flatten(self.avgpool(x))))


def resnet18(classes: int = 1000) -> ResNet:
    """Return ResNet-18: 11 689 512 parameters, 1.81 G multiplications for an image of 224 x 224."""
    return ResNet((2, 2, 2, 2), classes)


def resnet34(classes: int = 1000) -> ResNet:
    """Return ResNet-34: 21 797 672 parameters, 3.66 G multiplications for an image of 224 x 224."""
    return ResNet((3, 4, 6, 3), classes)


def group_of_blocks(channels_in: int, channels_out: int, blocks: int, stride: int, shortcut: Shortcut | None = None,
                    ) -> nn.Sequential:
    """Return blocks of one width, the first one with the stride; without a `shortcut` it is `project`."""
    first = BasicBlock(channels_in, channels_out, stride, shortcut or project)
    return nn.Sequential(first, *(BasicBlock(channels_out, channels_out, 1, shortcut or project)
                                  for _ in range(blocks - 1)))


def project(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    """Return a strided 1 x 1 convolution with BatchNorm: option B of the paper."""
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out))


def subsample(channels_in: int, channels_out: int, stride: int) -> Selection:
    """Return option A of the paper: every `stride`-th pixel, and as many zero channels before the map's as after it.

    It has no weights and is `pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, before, after))` in torch.

    Examples
    --------
    >>> import torch
    >>> subsample(2, 4, 2)(torch.arange(8.0).reshape(1, 2, 2, 2)).flatten().tolist()
    [0.0, 0.0, 4.0, 0.0]
    """
    before = (channels_out - channels_in) // 2
    after = channels_out - channels_in - before
    places = range(0, MAX_EXTENT, stride)
    return Selection((*[ZEROS] * before, *range(channels_in), *[ZEROS] * after), places, places)
