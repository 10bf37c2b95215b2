"""Statistics of BatchNorms after training."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from quant.trace.checks import check_data
from sim.errors import InputError

__all__ = ["reestimate_norms"]


def reestimate_norms(model: nn.Module, images: Tensor, batch: int = 64) -> None:
    """Recompute the statistics of every BatchNorm over `images`, then leave `model` in eval mode.

    They become the average of the batches' own, each by its number of images. During training they lag behind weights
    and bits that still move.

    Parameters
    ----------
    model : nn.Module
    images : float Tensor, shape (n, C, H, W)
        At least 2, all classes mixed: the statistics fit what these show.
    batch : int, at least 2
        Images that are looked at together; a single last one goes with those before it.

    Raises
    ------
    InputError
        If there are fewer images or a smaller batch, or images are not finite.
    """
    check_data(images, "images")
    for what, value in (("images", len(images)), ("batch", batch)):
        if value < 2:
            raise InputError(f"statistics of BatchNorms take at least 2 images together, not {what} = {value}")
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
    model.train()
    seen = 0
    try:
        with torch.no_grad():
            for part in _parts(images, batch):
                seen += len(part)
                for norm in norms:
                    norm.momentum = len(part) / seen
                model(part)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.eval()


def _parts(images: Tensor, batch: int) -> tuple[Tensor, ...]:
    """Return batches of at least 2 images: over 1 x 1 pixels one image has no variance."""
    whole, rest = divmod(len(images), batch)
    sizes = [batch] * whole + ([rest] if rest else [])
    if rest == 1:
        sizes[-2:] = [batch + 1]
    return torch.split(images, sizes)
