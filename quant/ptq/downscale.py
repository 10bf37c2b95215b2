"""Reconstruction at a reduced resolution: weights do not know for how many pixels they are used."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from quant.trace.inputs import Read
from sim.errors import InputError

__all__ = ["downscaled"]


def downscaled(data: Read, factor: int, *models: nn.Module) -> Read:
    """Return images whose pixels are the means of squares of `factor` x `factor` pixels.

    Parameters
    ----------
    data : float Tensor, shape (n, C, H, W)
    factor : int, at least 1
    models : nn.Module
        What shall read them.

    Raises
    ------
    InputError
        If the images are too small, or a model runs at its own resolution only: a linear layer reads a whole map.
    """
    if factor == 1:
        return data
    if not isinstance(data, Tensor) or data.ndim != 4:
        raise InputError(f"downscale takes one input, maps of shape (n, C, H, W), not {tuple(data.shape)}")
    height, width = data.shape[2:]
    if min(height, width) < factor:
        raise InputError(f"downscale must be at most the {min(height, width)} pixels of a side, not {factor}")
    small = functional.avg_pool2d(data, factor)
    for model in models:
        try:
            with torch.no_grad():
                model(small[:1].clone())
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0]
            raise InputError(f"the model does not run on {small.shape[2]} x {small.shape[3]} pixels, so it cannot be "
                             f"reconstructed with downscale {factor} ({reason})") from error
    return small
