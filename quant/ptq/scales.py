"""Scales of weights chosen again: steps, exponents and signs by what a layer puts out once its rounding is learnt."""

from __future__ import annotations

import torch
from torch import Tensor

from quant.ptq.second_order import round_together
from quant.ptq.units import Layer
from quant.quantizers.power_of_two import PowerOfTwoWeight
from quant.quantizers.stepped import SteppedWeight

__all__ = ["choose_scales"]

OCTAVES = (1.0, 0.5, 2.0)
FACTORS = (1.0, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.3)
"""Factors that are tried on the present scale and on the best one of the other sign; the present one comes first."""


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
    weight = layer.weight.detach().reshape(groups, -1, count)
    rows, scales = weight.shape[1], _candidates(quantizer, layer.weight)
    tried = scales.expand(-1, groups * rows).reshape(len(scales), groups, rows).transpose(0, 1)
    values, errors = round_together(weight[:, None].expand(-1, len(scales), -1, -1).reshape(groups, -1, count),
                                    tried.reshape(groups, -1), moments, quantizer.levels)
    errors = errors.reshape(groups, len(scales), rows)
    if scales.shape[1] == 1:  # one scale for all
        errors = errors.sum((0, 2), keepdim=True).expand(groups, -1, rows)
    best = errors.argmin(1)
    chosen = tried.gather(1, best[:, None]).flatten()
    quantizer.set_scale(chosen[: scales.shape[1]])
    values = values.reshape(groups, len(scales), rows, count)
    return values.gather(1, best[:, None, :, None].expand(-1, -1, -1, count)).reshape(layer.weight.shape)


def _candidates(quantizer: SteppedWeight, weight: Tensor) -> Tensor:
    """Return the scales to try, one row for each candidate, the present ones first."""
    present = quantizer.scale.detach().reshape(-1)
    starts = [present]
    if quantizer.mirror:
        sign = present.sign()
        starts.append(-sign * quantizer.steps(-sign[:, None] * quantizer.rows(weight)))
    factors = OCTAVES if isinstance(quantizer, PowerOfTwoWeight) else FACTORS
    return torch.stack([start * factor for start in starts for factor in factors])
