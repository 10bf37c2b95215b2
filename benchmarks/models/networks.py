"""Networks of the kinds that edge devices run, small enough to be trained in minutes.

EfficientNet: Tan and Le, ICML 2019, arXiv 1905.11946; ResNeXt: Xie et al., CVPR 2017, arXiv 1611.05431; U-Net:
Ronneberger et al., MICCAI 2015, arXiv 1505.04597; YOLO: Redmon et al., CVPR 2016, with the C3 blocks and the two scales
of its later versions.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["EfficientNet", "ResNeXt", "UNet", "Yolo"]

EFFICIENT_BLOCKS = ((1, 16, 1, 1, 3), (6, 24, 2, 1, 3), (6, 40, 2, 2, 5), (6, 80, 2, 2, 3), (6, 112, 2, 1, 5),
                    (6, 192, 2, 2, 5), (6, 320, 1, 1, 3))
"""Of EfficientNet-B0 with two thirds of its blocks: expansion, channels, blocks, stride and kernel of each stage."""


def normed(channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1,
           act: Callable[[], nn.Module] = nn.SiLU) -> nn.Sequential:
    """Return a convolution that keeps the size, its BatchNorm and its function."""
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False),
                         nn.BatchNorm2d(channels_out), act())


class SqueezeExcite(nn.Module):
    """Multiply each channel by a sigmoid of what the means of all channels say."""

    def __init__(self, channels: int, inside: int) -> None:
        super().__init__()
        self.pool, self.act, self.gate = nn.AdaptiveAvgPool2d(1), nn.SiLU(), nn.Sigmoid()
        self.reduce, self.expand = nn.Conv2d(channels, inside, 1), nn.Conv2d(inside, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gated: Tensor = x * self.gate(self.expand(self.act(self.reduce(self.pool(x)))))
        return gated


class MBConv(nn.Module):
    """An inverted residual with squeeze-and-excite."""

    def __init__(self, channels_in: int, channels_out: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inside = channels_in * expansion
        layers: list[nn.Module] = [normed(channels_in, inside, 1)] if expansion > 1 else []
        layers += [normed(inside, inside, kernel, stride, inside), SqueezeExcite(inside, max(channels_in // 4, 4)),
                   normed(inside, channels_out, 1, act=nn.Identity)]
        self.layers, self.adds = nn.Sequential(*layers), stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.adds else y


class EfficientNet(nn.Module):
    """EfficientNet with squeeze-and-excite and SiLU, half as wide as B0, for images of 32 x 32."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        width = 16
        blocks: list[nn.Module] = [normed(channels, width, 3, 2)]
        for expansion, wide, count, stride, kernel in EFFICIENT_BLOCKS:
            for index in range(count):
                blocks.append(MBConv(width, wide // 2, expansion, kernel, stride if index == 0 else 1))
                width = wide // 2
        self.features = nn.Sequential(*blocks, normed(width, 640, 1))
        self.pool, self.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(640, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.pool(self.features(x)).flatten(1))
        return logits


class NextBlock(nn.Module):
    """A residual block whose 3 x 3 convolution has groups of eight channels."""

    def __init__(self, channels_in: int, inside: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(normed(channels_in, inside, 1, act=nn.ReLU),
                                    normed(inside, inside, 3, stride, inside // 8, act=nn.ReLU),
                                    normed(inside, channels_out, 1, act=nn.Identity))
        same = stride == 1 and channels_in == channels_out
        self.shortcut = nn.Identity() if same else normed(channels_in, channels_out, 1, stride, act=nn.Identity)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.relu(self.layers(x) + self.shortcut(x))
        return y


class ResNeXt(nn.Module):
    """Three stages of two blocks with 8, 16 and 32 groups of eight channels."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            normed(channels, 32, 3, act=nn.ReLU), NextBlock(32, 64, 64, 2), NextBlock(64, 64, 64, 1),
            NextBlock(64, 128, 128, 2), NextBlock(128, 128, 128, 1), NextBlock(128, 256, 256, 2),
            NextBlock(256, 256, 256, 1))
        self.pool, self.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(256, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.pool(self.features(x)).flatten(1))
        return logits


class UNet(nn.Module):
    """Two levels down and up again; transposed convolutions bring the maps back, whose likes are concatenated."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        def double(channels_in: int, channels_out: int) -> nn.Sequential:
            return nn.Sequential(normed(channels_in, channels_out, 3, act=nn.ReLU),
                                 normed(channels_out, channels_out, 3, act=nn.ReLU))

        self.pool = nn.MaxPool2d(2)
        self.down1, self.down2, self.bottom = double(channels, 16), double(16, 32), double(32, 64)
        self.raise2, self.up2 = nn.ConvTranspose2d(64, 32, 2, 2), double(64, 32)
        self.raise1, self.up1 = nn.ConvTranspose2d(32, 16, 2, 2), double(32, 16)
        self.last = nn.Conv2d(16, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.down1(x)
        two = self.down2(self.pool(one))
        up = self.up2(torch.cat((self.raise2(self.bottom(self.pool(two))), two), 1))
        mask: Tensor = self.last(self.up1(torch.cat((self.raise1(up), one), 1)))
        return mask


class C3(nn.Module):
    """Half of the channels go through a bottleneck, the other half around it."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        half = channels_out // 2
        self.main, self.around = normed(channels_in, half, 1), normed(channels_in, half, 1)
        self.bottleneck = nn.Sequential(normed(half, half, 1), normed(half, half, 3))
        self.last = normed(channels_out, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        main = self.main(x)
        y: Tensor = self.last(torch.cat((main + self.bottleneck(main), self.around(x)), 1))
        return y


class Yolo(nn.Module):
    """A backbone with SiLU, a neck that upsamples, and a head on two scales: for each cell an object and its box.

    Outputs have five channels: whether a centre lies in the cell, its place in the cell, and width and height.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(normed(channels, 16, 3, 2), normed(16, 32, 3, 2), C3(32, 32))
        self.fine = nn.Sequential(normed(32, 64, 3, 2), C3(64, 64))
        self.coarse = nn.Sequential(normed(64, 96, 3, 2), C3(96, 96))
        self.lateral, self.up = normed(96, 64, 1), nn.Upsample(scale_factor=2, mode="nearest")
        self.neck = C3(128, 64)
        self.heads = nn.ModuleList([nn.Conv2d(64, 5, 1), nn.Conv2d(96, 5, 1)])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(self.stem(x))
        coarse = self.coarse(fine)
        merged = self.neck(torch.cat((self.up(self.lateral(coarse)), fine), 1))
        return self.heads[0](merged), self.heads[1](coarse)
