"""Networks of the kinds that MLPerf Tiny measures, spelled as torch users do, and spectra to train one of them with.

Banbury et al., "MLPerf Tiny Benchmark", 2021, arXiv 2106.07597: keyword spotting, visual wake words, anomaly detection.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from quant.data.split import Split
from sim.ir.formats import Format

__all__ = ["Autoencoder", "DepthwiseSeparable", "mobilenet_v1", "speech"]

FRAMES, BANDS, WORDS = 49, 10, 12
EXPONENT = -5
"""The value of a code is code * 2**-5."""
MOBILENET = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1))
"""Channels and strides of MobileNetV1's depthwise separable blocks at a quarter of the width."""


def _normed(channels_in: int, channels_out: int, kernel: int | tuple[int, int], stride: int = 1,
            padding: int | tuple[int, int] = 0, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False),
                         nn.BatchNorm2d(channels_out), nn.ReLU())


def _separable(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(_normed(channels_in, channels_in, 3, stride, 1, channels_in),
                         _normed(channels_in, channels_out, 1))


class DepthwiseSeparable(nn.Module):
    """Keyword spotting: 49 spectra of 10 bands, a convolution of 10 x 4, four separable ones, an average, 12 words."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _normed(1, 64, (10, 4), 2, (5, 1))
        self.blocks = nn.Sequential(*[_separable(64, 64) for _ in range(4)])
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(64, WORDS)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.classifier(self.pool(self.blocks(self.stem(x))).flatten(1))
        return found


class Autoencoder(nn.Module):
    """Anomaly detection: ten linear layers of 640, 128, 8 and 128 numbers, with BatchNorm and ReLU between them."""

    def __init__(self) -> None:
        super().__init__()
        widths = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128)
        layers: list[nn.Module] = []
        for inside, outside in pairwise(widths):
            layers += [nn.Linear(inside, outside), nn.BatchNorm1d(outside), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], widths[0]))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x)
        return found


def mobilenet_v1() -> nn.Sequential:
    """Return the network for visual wake words: images of 96 x 96 in three colours, two classes."""
    channels, blocks = 8, []
    for width, stride in MOBILENET:
        blocks.append(_separable(channels, width, stride))
        channels = width
    return nn.Sequential(_normed(3, 8, 3, 2, 1), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 2))


def speech(count: int, seed: int) -> Split:
    """Return chirps as spectra in time: each of 12 words is a start, a slope and a curve of the loudest band."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % WORDS
    time = torch.linspace(0, 1, FRAMES)
    start, slope, bend = (torch.tensor(numbers)[labels, None] for numbers in (
        [1., 8, 2, 7, 4, 5, 1, 8, 3, 6, 2, 7], [6., -6, 0, 0, 3, -3, 2, -2, -2, 2, 5, -5],
        [0., 0, 4, -4, -6, 6, 6, -6, 5, -5, -8, 8]))
    moved = time * (0.8 + 0.4 * torch.rand(count, 1, generator=generator))
    path = start + slope * moved + bend * moved * (1 - moved) + 0.5 * torch.randn(count, 1, generator=generator)
    bands = torch.arange(BANDS)
    images = 2 * torch.exp(-(bands - path[:, :, None]) ** 2) + 0.7 * torch.randn(count, FRAMES, BANDS,
                                                                                 generator=generator)
    codes = torch.round(images[:, None] * 2.0**-EXPONENT).clamp(-128, 127).to(torch.int32)
    return Split(codes, labels, Format(8, "signed"), EXPONENT)
