"""The range of codes that a function reads: the one that leaves the least error in what the function puts out.

A function may be flat, so that what lies beyond can be clamped for nothing, or steep, where finer codes pay; the error
of what it reads knows neither.
"""

from __future__ import annotations

import torch
from torch import Tensor

from quant.layers.function import QuantFunction
from quant.quantizers.base import ActivationQuantizer, sample_of

__all__ = ["fit_index"]

SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02)
"""Of the least and of the largest value that are tried as ends."""
ROUNDS = 2
"""How often each end is chosen, the other one fixed."""


@torch.no_grad()
def fit_index(function: QuantFunction, values: Tensor, read: ActivationQuantizer | None) -> None:
    """Fit the index of a function to what it reads.

    Parameters
    ----------
    function : QuantFunction
    values : float Tensor
        What it reads, at some positions.
    read : ActivationQuantizer, optional
        Which made the values, if a stored tensor is read as it is: the index may have its very codes.
    """
    quantizer, sample = function.index_quantizer, sample_of(values)
    wanted = function.exact(sample.double())
    known = wanted.isfinite()
    sample, wanted = sample[known], wanted[known]

    def error(low: float, high: float) -> float:
        quantizer.cover(low, high)
        found, _ = function.entries()
        codes = quantizer.rounded(sample).to(torch.int64)
        return float((found[codes] - wanted).square().mean())

    least, most = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    ends, best = (least, most), error(least, most)
    for _ in range(ROUNDS):
        for end in (0, 1):
            for share in SHARES[1:]:
                tried = (least * share, ends[1]) if end == 0 else (ends[0], most * share)
                if (found := error(*tried)) < best:
                    ends, best = tried, found
    if read is not None:
        low, high = (float((code - read.zero) * read.scale) for code in (read.format.low, read.format.high))
        if error(low, high) <= best:
            ends = low, high
    quantizer.cover(*ends)
