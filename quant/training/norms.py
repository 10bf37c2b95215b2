"""Statistics of BatchNorms after training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["reestimate_norms"]


def reestimate_norms(model: nn.Module, images: Tensor, batch: int = 64) -> None:
    """Recompute the statistics of every BatchNorm over `images`, then leave `model` in eval mode.

    They become the average of the batches' own, each by its number of images. During training they lag behind weights
    and bits that still move.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
    model.train()
    seen = 0
    with torch.no_grad():
        for part in images.split(batch):
            seen += len(part)
            for norm in norms:
                norm.momentum = len(part) / seen
            model(part)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
