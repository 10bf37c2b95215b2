"""Scales of weights chosen again: steps, exponents and signs by what a layer puts out once its rounding is learnt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from quant.ptq.second_order import round_together
from quant.ptq.units import Layer
from quant.quantizers.power_of_two import PowerOfTwoWeight
from quant.quantizers.stepped import SteppedWeight

__all__ = ["FACTORS", "Alternatives", "candidates", "choose_scales", "rounded_at_best_scales"]

OCTAVES = (1.0, 0.5, 2.0)
FACTORS = (1.0, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.3)
"""Factors that are tried on the present scale and on the best one of the other sign; the present one comes first."""


@dataclass(frozen=True)
class Alternatives:
    """Scales to try beside the usual ones, which stay as they are if they are chosen, and what scales cost.

    Attributes
    ----------
    scales : Tensor, shape (candidates, channels)
    cost : callable, optional
        Returns what counts beside the squared errors of scales, of the same shape.
    """

    scales: Tensor
    cost: Callable[[Tensor], Tensor] | None


def choose_scales(layer: Layer, quantizer: SteppedWeight, moments: Tensor) -> Tensor:
    """Choose the scale of each channel that leaves the least error in what the layer puts out; gives rounded weights.

    Parameters
    ----------
    layer : QuantConv2d or QuantLinear
        With real weights.
    quantizer : SteppedWeight
        Its own; gets the scales.
    moments : float64 Tensor, shape (groups, n, n)
        From `covariance`.

    Returns
    -------
    Tensor
        Shaped like the weights.
    """
    groups, count = moments.shape[:2]
    rows = layer.weight.detach().reshape(groups, -1, count)
    return rounded_at_best_scales(quantizer, rows, moments).reshape(layer.weight.shape)


def rounded_at_best_scales(quantizer: SteppedWeight, rows: Tensor, moments: Tensor,
                           factors: Sequence[float] = FACTORS, others: Alternatives | None = None) -> Tensor:
    """Do what `choose_scales` does, for weights of shape (groups, r, n) in any order along n.

    `factors` are tried on real steps, powers of two try octaves.
    """
    groups, count = moments.shape[:2]
    channels, scales = rows.shape[1], candidates(quantizer, rows, factors)
    if others is not None:
        scales = torch.cat([scales, others.scales.to(scales)])
    tried = scales.expand(-1, groups * channels).reshape(len(scales), groups, channels).transpose(0, 1)
    values, errors = round_together(rows[:, None].expand(-1, len(scales), -1, -1).reshape(groups, -1, count),
                                    tried.reshape(groups, -1), moments, quantizer.levels)
    errors = errors.reshape(groups, len(scales), channels)
    if others is not None and others.cost is not None:
        errors += others.cost(scales).reshape(len(scales), groups, channels).transpose(0, 1).to(errors)
    if scales.shape[1] == 1:  # one scale for all
        errors = errors.sum((0, 2), keepdim=True).expand(groups, -1, channels)
    best = errors.argmin(1)
    chosen = tried.gather(1, best[:, None]).flatten()
    quantizer.set_scale(chosen[: scales.shape[1]])
    values = values.reshape(groups, len(scales), channels, count)
    return values.gather(1, best[:, None, :, None].expand(-1, -1, -1, count))[:, 0]


def candidates(quantizer: SteppedWeight, weight: Tensor, factors: Sequence[float] = FACTORS) -> Tensor:
    """Return the scales to try, one row for each candidate, the present ones first.

    Parameters
    ----------
    quantizer : SteppedWeight
    weight : Tensor
        For the scales of the other sign.
    factors : sequence of float
        For real steps; powers of two try octaves.
    """
    present = quantizer.scale.detach().reshape(-1)
    starts = [present]
    if quantizer.mirror:
        sign = present.sign()
        starts.append(-sign * quantizer.steps(-sign[:, None] * quantizer.rows(weight)))
    return torch.stack([start * factor for start in starts
                        for factor in (OCTAVES if isinstance(quantizer, PowerOfTwoWeight) else factors)])
