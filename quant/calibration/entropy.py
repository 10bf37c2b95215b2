"""The range of a tensor whose histogram loses least information (as in TensorRT's calibration by entropy).

S. Migacz, "8-bit inference with TensorRT", GPU Technology Conference 2017.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["entropy_limit"]

BINS = 2048
TRIED = 64
"""How many limits are tried, evenly between the fewest bins that fill all levels and all bins."""


def entropy_limit(magnitudes: Tensor, levels: int) -> float:
    """Return the limit at which clipped and rounded magnitudes have the histogram nearest to the original.

    For each limit, what is above it is counted in the last bin below it; the bins are then merged into `levels` and
    spread over the bins that were not empty. The limit with the least Kullback-Leibler divergence between the two wins.
    Zeros have a code of their own and do not count: after a ReLU half of all would be spread over the first bins.

    Parameters
    ----------
    magnitudes : Tensor, shape (n,)
        At least 0 and finite.
    levels : int, at least 1
        Number of codes from 0 on.

    Examples
    --------
    >>> most = torch.randn(10_000, generator=torch.Generator().manual_seed(0)).abs()
    >>> 3.0 < entropy_limit(torch.cat([most, torch.tensor([50.0])]), 8) < 4.0
    True
    """
    magnitudes = magnitudes[magnitudes > 0]
    if not len(magnitudes):
        return 0.0
    largest = float(magnitudes.max())
    counts = torch.histc(magnitudes.float() / largest, BINS, 0.0, 1.0).double()
    fewest = min(levels, BINS)
    limits = {fewest + (BINS - fewest) * step // TRIED for step in range(TRIED + 1)}
    best = min(sorted(limits), key=lambda limit: _divergence(counts, limit, fewest))
    return largest * best / BINS


def _divergence(counts: Tensor, limit: int, levels: int) -> float:
    """Return the Kullback-Leibler divergence of merged bins from clipped ones [nats]."""
    clipped = counts[:limit].clone()
    merged_from = clipped.clone()
    clipped[-1] += counts[limit:].sum()
    level = torch.arange(limit) * levels // limit
    level = level.to(counts.device)
    filled = (clipped > 0).double()
    total, places = (torch.zeros(levels, dtype=torch.float64, device=counts.device).index_add(0, level, of)
                     for of in (merged_from, filled))
    merged = (total / places.clamp(min=1.0))[level] * filled
    p, q = clipped / clipped.sum(), merged / merged.sum().clamp(min=1e-300)
    known = p > 0
    return float((p[known] * torch.log(p[known] / q[known].clamp(min=1e-12))).sum())
