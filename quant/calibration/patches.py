"""What a layer reads at some positions of its output, so that other weights can be tried there in little time."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from quant.layers.quantized import QuantConv2d
from sim.ir.ops import out_size

__all__ = ["added_at", "at_positions", "in_row", "patches", "positions", "sums", "usual_positions", "values_read"]

MOST_POSITIONS = 2048
"""How many positions of all images together say what a weight does."""
FEWEST_POSITIONS = 256
MOST_VALUES = 1 << 24
"""How many values a layer reads at its positions, unless these would be fewer than `FEWEST_POSITIONS`."""
SEED = 0

Layer = nn.Conv2d | nn.Linear


def positions(images: int, size: int, most: int = MOST_POSITIONS) -> Tensor:
    """Return equally many positions of each image's map, int64 of shape (images, count), below `size`.

    They are drawn at random, one from each of equal parts of the map, at least one per image; the same arguments give
    the same positions.

    Parameters
    ----------
    images, size : int
        Number of images, and of positions in a map.
    most : int
        How many all images have together, unless that is fewer than one per image.
    """
    count = min(max(most // images, 1), size)
    shares = torch.rand(images, count, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
    return ((torch.arange(count) + shares) * (size / count)).to(torch.int64).clamp(max=size - 1)


def at_positions(values: Tensor, which: Tensor) -> Tensor:
    """Return values at some positions, shape (images * count, C), of maps of shape (images, C, ...) or flattened ones.

    Parameters
    ----------
    values : Tensor, shape (images, C, H, W), (images, C) or, flattened, (images, C * H * W)
    which : int64 Tensor, shape (images, count)
    """
    index = which.to(values.device)[:, None, :].expand(-1, values.shape[1], -1)
    return values.flatten(2).gather(2, index).transpose(1, 2).flatten(0, 1)


def in_row(values: Tensor, channels: int) -> Tensor:
    """Return maps of shape (images, C, size) whatever the shape they are stored in.

    >>> in_row(torch.zeros(2, 12), 3).shape, in_row(torch.zeros(2, 3, 2, 2), 3).shape
    (torch.Size([2, 3, 4]), torch.Size([2, 3, 4]))
    """
    return values.reshape(len(values), channels, -1)


def added_at(values: Tensor, channels: int, which: Tensor) -> Tensor:
    """Return what is added to `channels` channels at some positions, shape (images * count, channels).

    Parameters
    ----------
    values : Tensor, shape (images, C, H, W) or, in whatever shape it is stored, as many values
        Of one channel, or one position, it is added to all.
    channels : int
    which : int64 Tensor, shape (images, count)
    """
    alone = values.shape[1] == 1 < channels and (values.ndim > 2 or values[0].numel() == 1)
    row = in_row(values, 1 if alone else channels)
    found = at_positions(row, which if row.shape[2] > 1 else torch.zeros_like(which))
    return found.expand(-1, channels).contiguous()


def usual_positions(layer: Layer) -> int:
    """Return at how many positions a layer is looked at: fewer where it reads many values."""
    return min(MOST_POSITIONS, max(MOST_VALUES // values_read(layer), FEWEST_POSITIONS))


def values_read(layer: Layer) -> int:
    """Return how many values a layer reads at one position of its output."""
    return layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels * math.prod(layer.kernel_size)


def patches(layer: Layer, read: Tensor, images: int, which: slice,
            most: int | None = None) -> tuple[Tensor, Tensor]:
    """Return what `layer` multiplies by its weights at the positions of some images, and these positions.

    Parameters
    ----------
    layer : nn.Conv2d or nn.Linear
    read : Tensor, shape (m, C, H, W), or (m, C) for a linear layer
        What the layer reads for the images `which`.
    images : int
        Number of all images.
    which : slice
    most : int, optional
        How many positions all images have together, as for `positions`; otherwise `usual_positions`.

    Returns
    -------
    patches : Tensor, shape (groups, m * count, channels in a group * kernel height * kernel width)
    positions : int64 Tensor, shape (m, count)
    """
    if isinstance(layer, nn.Linear):
        return read[None], torch.zeros(len(read), 1, dtype=torch.int64)
    padded = (layer.padded(read) if isinstance(layer, QuantConv2d)
              else functional.pad(read, layer._reversed_padding_repeated_twice))
    (kernel, along), (down, across), dilation = layer.kernel_size, layer.stride, layer.dilation
    height, width = padded.shape[2:]
    rows, columns = (out_size(*numbers) for numbers in zip(
        (height, width), (0, 0), (0, 0), layer.kernel_size, layer.stride, dilation, strict=True))
    place = positions(images, rows * columns, usual_positions(layer) if most is None else most)[which]
    start = place // columns * (down * width) + place % columns * across
    offsets = (torch.arange(kernel)[:, None] * dilation[0] * width + torch.arange(along) * dilation[1]).flatten()
    index = (start[:, :, None] + offsets).flatten(1)[:, None, :].expand(-1, layer.in_channels, -1)
    found = padded.flatten(2).gather(2, index.to(read.device))
    images_here, count = place.shape
    found = found.reshape(images_here, layer.groups, -1, count, kernel * along)
    return found.permute(1, 0, 3, 2, 4).flatten(3).flatten(1, 2).contiguous(), place


def sums(read: Tensor, weight: Tensor) -> Tensor:
    """Return the products of patches with weights, shape (positions, output channels).

    Parameters
    ----------
    read : Tensor, shape (groups, positions, n)
    weight : Tensor, shape (output channels, ...) with n elements for each
    """
    groups, _, count = read.shape
    return torch.bmm(read, weight.reshape(groups, -1, count).transpose(1, 2)).permute(1, 0, 2).flatten(1)
