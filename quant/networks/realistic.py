"""Random networks whose tensors look like those of trained ones, for when there is no checkpoint.

Times, memory and the exactness of engines do not depend on what a network has learnt, but scales do: with fresh
BatchNorms or badly scaled weights, activations die or explode with depth and every fit sees a degenerate range.
"""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor, nn
from torch.nn import functional

from quant.training.norms import reestimate_norms
from sim.ir.formats import Format

__all__ = ["IMAGE_EXPONENT", "IMAGE_FORMAT", "make_realistic", "noise_codes"]

IMAGE_FORMAT = Format(8, "signed")
"""How the host gives an image: normalised per channel as in training, where the usual statistics lead to -2.2..2.7."""
IMAGE_EXPONENT = -5
"""A pixel's value is code * 2**-5, in -4..4."""
GRAIN = 8
"""Width of the largest details of a noise image [pixels]."""


def noise_codes(images: int, size: int, seed: int) -> Tensor:
    """Codes of normalised images: noise on a coarse and on a fine grid, so that neighbours are related.

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


def make_realistic(model: nn.Module, images: Tensor, seed: int) -> None:
    """Give `model` random weights and BatchNorms under which activations keep their magnitude; ends in eval mode.

    Weights are drawn for ReLUs (He et al., ICCV 2015, arXiv 1502.01852, fan-in), gains of BatchNorms from 0.5..1.5
    and shifts from a normal distribution; their statistics are then what they see on `images`.

    Parameters
    ----------
    model : nn.Module
        Changed in place.
    images : float Tensor, shape (n, C, H, W)
        Normalised images, at least two.
    seed : int
    """
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, std=0.3, generator=generator)
    reestimate_norms(model, images, batch=len(images))
