"""Biases that make up for the mean error of each output channel (Nagel et al., ICCV 2019, arXiv 1906.04721).

The mean is that over images and positions of what the activation reads, against the float network. A mean that a few
images might have by chance is left alone: it is shrunk by the share of its square that its standard error explains,
with images as the independent draws (James and Stein's positive part).
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["correction"]


def correction(values: Tensor, target: Tensor, images: int) -> Tensor:
    """Return what to add to each channel's bias, shape (channels,); 0 where the error may be chance.

    Parameters
    ----------
    values, target : Tensor, shape (images * positions, channels)
        What the activation reads in the quantized and in the float network, image after image.
    images : int
        At least 1; with 1 nothing is corrected.

    Examples
    --------
    >>> target = torch.tensor([[1.0, 5.0], [1.0, -4.0], [1.0, 3.0]])
    >>> correction(torch.zeros(3, 2), target, 3)
    tensor([1., 0.])
    """
    by_image = (target - values).unflatten(0, (images, -1)).mean(1)
    mean = by_image.mean(0)
    if images < 2:
        return torch.zeros_like(mean)
    unit = by_image.abs().amax(0)
    unit = torch.where(unit > 0, unit, torch.ones_like(unit))
    chance = (by_image / unit).var(0) / images
    share = 1.0 - chance / (mean / unit).square()
    shrunk: Tensor = mean * share.nan_to_num(nan=0.0, neginf=0.0).clamp(min=0.0)
    return shrunk
