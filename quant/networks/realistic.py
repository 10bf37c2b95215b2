"""Random networks whose tensors look like those of trained ones, for when there is no checkpoint.

Times, memory and the exactness of engines do not depend on what a network has learnt, but scales do: with fresh
BatchNorms or badly scaled weights, activations die or explode with depth and every fit sees a degenerate range.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quant.training.norms import reestimate_norms

__all__ = ["make_realistic"]


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
