"""Samples of a data set in which all classes have their share, whatever order it is kept in."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["mixed_sample"]


def mixed_sample(labels: Tensor, count: int, seed: int = 0) -> Tensor:
    """Draw images at random, the same share of every class to half an image; so has each beginning of the sample.

    Folders are sorted by class: their first images show one class alone, and statistics of them fit no other.

    Parameters
    ----------
    labels : int Tensor, shape (n,)
        Classes; the same value throughout if there are none.
    count : int, at least 0
        Images to draw; all of them, in a mixed order, if there are no more.
    seed : int

    Returns
    -------
    int64 Tensor, shape (min(n, count),)
        Which images, each once.

    Examples
    --------
    >>> labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
    >>> labels[mixed_sample(labels, 6)].sort().values
    tensor([0, 0, 1, 1, 2, 2])
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    _, number, sizes = torch.unique(labels[order], return_inverse=True, return_counts=True)
    by_class = torch.argsort(number, stable=True)
    rank = torch.empty_like(order)
    rank[by_class] = torch.arange(len(labels)) - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    share = (rank + 0.5) / sizes[number]  # of its class that comes before an image
    return order[torch.argsort(share, stable=True)[:count]]
