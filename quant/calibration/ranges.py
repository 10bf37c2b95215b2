"""Which values of a tensor its codes reach: five ways to choose, from values drawn evenly from all images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from quant.calibration.entropy import entropy_limit
from quant.calibration.options import Calibration
from quant.quantizers.base import ActivationQuantizer

__all__ = ["fit_range"]

FACTORS = (0.5, 0.71, 0.84, 0.92, 1.08, 1.19, 1.41, 2.0)
"""Multiples of the range of least squared error that `output` tries."""


def fit_range(quantizer: ActivationQuantizer, values: Tensor, how: Calibration, *, ends: Callable[[], Tensor],
              weights: Callable[[], Tensor]) -> None:
    """Fit a tensor's quantizer.

    Parameters
    ----------
    quantizer : ActivationQuantizer
    values : Tensor, shape (positions, channels)
    how : Calibration
    ends : callable
        Returns the least and the largest of all values of the tensor, shape (2,).
    weights : callable
        Returns how much a squared error of each channel matters to what reads the tensor, shape (channels,).
    """
    if how.ranges in ("mse", "output"):
        quantizer.initialise(values)
        if how.ranges == "output":
            _search(quantizer, values, weights())
    elif how.ranges == "range":
        quantizer.cover(*ends().tolist())
    elif how.ranges == "percentile":
        quantizer.cover(*_percentiles(values.flatten(), how.percentile / 100))
    else:
        fmt = quantizer.format
        limit = entropy_limit(values.abs().flatten(), fmt.high - fmt.zero_point + 1)
        quantizer.cover(max(float(values.min()), -limit), min(float(values.max()), limit))


def _percentiles(values: Tensor, share: float) -> tuple[float, float]:
    """Return the ends beyond which at most 1 - share of the values lie, on each side."""
    ordered = values.sort().values
    last = len(ordered) - 1
    return float(ordered[last - round(share * last)]), float(ordered[round(share * last)])


@torch.no_grad()
def _search(quantizer: ActivationQuantizer, values: Tensor, weights: Tensor) -> None:
    """Keep the range, of the present one and its multiples, with the least weighted squared error."""
    fmt, scale = quantizer.format, float(quantizer.scale.detach())
    low, high = ((code - quantizer.zero) * scale for code in (fmt.low, fmt.high))
    unit = 2.0 ** float(torch.frexp(values.abs().max().clamp(min=torch.finfo(values.dtype).tiny)).exponent)
    errors = {}
    for factor in (1.0, *FACTORS):
        quantizer.cover(low * factor, high * factor)
        error = ((quantizer(values) - values) / unit).square().mean(0).double()
        errors[factor] = float((error * weights).sum())
    best = min(errors, key=lambda factor: errors[factor])
    quantizer.cover(low * best, high * best)
