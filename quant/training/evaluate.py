"""Measure the accuracy of a model."""

from __future__ import annotations

from math import prod

import torch
from torch import nn

from quant.data.images import Images
from quant.trace.outputs import first_tensor
from sim.errors import InputError

__all__ = ["accuracy"]

PIXELS, MOST_IMAGES = 1 << 22, 1000
"""Of images that are looked at together: 83 of 224 x 224."""


def accuracy(model: nn.Module, data: Images) -> float:
    """Return the share of images whose largest logit is the label's, in 0..1; `model` in eval mode, on any device.

    Of several outputs the first has the logits, or, shape (n,), the classes themselves.

    Raises
    ------
    InputError
        If there are no images.
    """
    if not len(data):
        raise InputError("accuracy takes at least 1 image, not 0")
    first = next(model.parameters())
    right = 0
    with torch.no_grad():
        for which in torch.arange(len(data)).split(_together(data)):
            images = data.values(which).to(first.device, first.dtype)
            answers = first_tensor(model(images))
            classes = answers if answers.ndim == 1 else answers.argmax(1)
            right += int((classes.cpu() == data.labels[which]).sum())
    return right / len(data)


def _together(data: Images) -> int:
    """Return how many images memory has room for."""
    pixels = prod(data.codes(slice(0, 1)).shape[2:])
    return min(max(PIXELS // pixels, 1), MOST_IMAGES)
