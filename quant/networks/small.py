"""Relatives of the networks for images of 32 x 32, small enough to train on a CPU and to run whole on the RTL."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from quant.networks.mobilenet import MobileNetV2
from quant.networks.mobilenet_v3 import Block, MobileNetV3Small
from quant.networks.resnet import Shortcut, group_of_blocks, subsample

__all__ = ["SmallAlexNet", "SmallResNet", "glyph_mobilenet", "glyph_mobilenet_v3", "resnet8", "resnet20", "resnet20_a",
           "small_alexnet", "small_mobilenet"]

RESNET_WIDTHS = (16, 32, 64)
GLYPH_GROUPS = ((1, 16, 1, 1), (4, 24, 2, 2), (4, 40, 2, 2))
GLYPH_BLOCKS = (Block(3, 16, 16, True, False, 1), Block(3, 64, 24, False, False, 2), Block(5, 96, 24, True, True, 1),
                Block(5, 96, 40, True, True, 2), Block(5, 160, 40, True, True, 1))
MOBILENET_GROUPS = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 2, 2), (6, 64, 2, 2))


class SmallResNet(nn.Module):
    """A residual network of 3 groups of basic blocks: He et al., arXiv 1512.03385, section 4.2.

    Parameters
    ----------
    blocks : int
        Of each group: 1 makes ResNet-8, 3 make ResNet-20.
    classes, channels : int
        Of the output and of the image.
    stem_stride : int
        Of the first convolution.
    shortcut : callable, optional
        `quant.networks.resnet.subsample` for option A of the paper; otherwise a shortcut between different shapes is a
        strided 1 x 1 convolution with BatchNorm (option B).

    Examples
    --------
    >>> import torch
    >>> resnet20().eval()(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 10])
    """

    def __init__(self, blocks: int, classes: int = 10, channels: int = 3, stem_stride: int = 1,
                 shortcut: Shortcut | None = None) -> None:
        super().__init__()
        first, second, third = RESNET_WIDTHS
        self.conv1 = nn.Conv2d(channels, first, 3, stem_stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.relu = nn.ReLU()
        self.layer1 = group_of_blocks(first, first, blocks, 1, shortcut)
        self.layer2 = group_of_blocks(first, second, blocks, 2, shortcut)
        self.layer3 = group_of_blocks(second, third, blocks, 2, shortcut)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(third, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return cast(Tensor, self.fc(self.flatten(self.avgpool(x))))


class SmallAlexNet(nn.Module):
    """Convolutions without BatchNorm, max pools and linear layers, as in AlexNet.

    Examples
    --------
    >>> import torch
    >>> small_alexnet().eval()(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 10])
    """

    def __init__(self, classes: int = 10, channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 16, 5, stride=2, padding=2), nn.ReLU(),
            nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(64 * 4 * 4, 128), nn.ReLU(), nn.Linear(128, classes))

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.classifier(self.flatten(self.features(x))))


def resnet8(classes: int = 10, channels: int = 3) -> SmallResNet:
    """Return ResNet-8 whose stem halves the image: 3 M multiplications for 32 x 32."""
    return SmallResNet(1, classes, channels, stem_stride=2)


def resnet20(classes: int = 10, channels: int = 3) -> SmallResNet:
    """Return ResNet-20: 41 M multiplications for an image of 32 x 32."""
    return SmallResNet(3, classes, channels)


def resnet20_a(classes: int = 10, channels: int = 3) -> SmallResNet:
    """Return ResNet-20 as its authors trained it for CIFAR-10, with shortcuts of option A: 269 722 weights.

    >>> sum(weight.numel() for weight in resnet20_a().parameters())
    269722
    """
    return SmallResNet(3, classes, channels, shortcut=subsample)


def small_alexnet(classes: int = 10, channels: int = 3) -> SmallAlexNet:
    """Return a relative of AlexNet: 5.7 M multiplications for 32 x 32."""
    return SmallAlexNet(classes, channels)


def small_mobilenet(classes: int = 10, channels: int = 3) -> MobileNetV2:
    """Return the first inverted residuals of MobileNetV2, without the stem's stride, on 32 x 32.

    >>> import torch
    >>> small_mobilenet().eval()(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 10])
    """
    return MobileNetV2(classes, MOBILENET_GROUPS, head=256, stem_stride=1, channels=channels)


def glyph_mobilenet(classes: int = 48, channels: int = 1) -> MobileNetV2:
    """Return five thin inverted residuals of expansion 4: 2 M multiplications for 32 x 32, hard to quantize."""
    return MobileNetV2(classes, GLYPH_GROUPS, head=128, stem=16, channels=channels)


def glyph_mobilenet_v3(classes: int = 48, channels: int = 1) -> MobileNetV3Small:
    """Return five thin blocks of MobileNetV3-Small, HardSwish and squeeze-and-excite in most, for 32 x 32.

    >>> import torch
    >>> glyph_mobilenet_v3().eval()(torch.zeros(1, 1, 32, 32)).shape
    torch.Size([1, 48])
    """
    return MobileNetV3Small(classes, GLYPH_BLOCKS, head=128, channels=channels)
