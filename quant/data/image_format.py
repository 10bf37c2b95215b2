"""The format in which the host gives normalised images, and noise images in it."""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor
from torch.nn import functional

from sim.ir.formats import Format

__all__ = ["IMAGE_EXPONENT", "IMAGE_FORMAT", "noise_codes"]

IMAGE_FORMAT = Format(8, "signed")
"""How the host gives an image: normalised per channel as in training, where the usual statistics lead to -2.2..2.7."""
IMAGE_EXPONENT = -5
"""A pixel's value is code * 2**-5, in -4..4."""
GRAIN = 8
"""Width of the largest details of a noise image [pixels]."""


def noise_codes(images: int, size: int, seed: int) -> Tensor:
    """Return the codes of normalised images: noise on a coarse and on a fine grid, so that neighbours are related.

    Parameters
    ----------
    images, size : int
        How many, and their height and width [pixels].
    seed : int

    Returns
    -------
    int32 Tensor, shape (images, 3, size, size)
        In the range of `IMAGE_FORMAT`, with a mean of 0 and a standard deviation of about 1 / 2**IMAGE_EXPONENT.
    """
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(images, 3, ceil(size / GRAIN) + 1, ceil(size / GRAIN) + 1, generator=generator)
    smooth = functional.interpolate(coarse, scale_factor=float(GRAIN), mode="bilinear")[:, :, :size, :size]
    noise = 1.3 * smooth + 0.5 * torch.randn(images, 3, size, size, generator=generator)
    codes = torch.floor(noise * 2.0**-IMAGE_EXPONENT + 0.5)
    return codes.clamp(IMAGE_FORMAT.low, IMAGE_FORMAT.high).to(torch.int32)
