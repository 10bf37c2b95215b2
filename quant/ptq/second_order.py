"""Steps of weights chosen by what the rounded layer puts out, each candidate rounded as well as is cheaply possible.

Weights are rounded one after another, and those that are still real make up for the error of those that are not, as
the covariance of what the layer reads says (Frantar and Alistarh, "Optimal Brain Compression", NeurIPS 2022, arXiv
2208.11580; in a fixed order as in GPTQ, arXiv 2210.17323). Judged by rounding to nearest, steps that clip and coarse
steps look worse than they are once rounding is learnt.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from quant.quantizers.base import nearest_codes
from quant.trace.layers import QuantConv2d, QuantLinear

__all__ = ["covariance", "round_together"]

DAMPING = 0.01
"""Share of the mean variance that is added to every variance."""


def covariance(layer: QuantConv2d | QuantLinear, inputs: Iterable[Tensor]) -> Tensor:
    """Return the second moments of what each weight of an output channel reads.

    Parameters
    ----------
    layer : QuantConv2d or QuantLinear
    inputs : iterable of float Tensor
        Batches of what the layer reads.

    Returns
    -------
    float64 Tensor, shape (groups, n, n)
        n weights per output channel, in the order of `weight.flatten(1)`.
    """
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    count = layer.weight[0].numel()
    total = torch.zeros(groups, count, count, dtype=torch.float64)
    for batch in inputs:
        if isinstance(layer, nn.Conv2d):
            assert not isinstance(layer.padding, str)
            columns = functional.unfold(batch, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
            rows = columns.reshape(len(batch), groups, count, -1).permute(1, 0, 3, 2).reshape(groups, -1, count)
        else:
            rows = batch[None]
        total += (rows.transpose(1, 2) @ rows).double()
    return total


def round_together(rows: Tensor, scales: Tensor, moments: Tensor, levels: range) -> tuple[Tensor, Tensor]:
    """Round the weights of each output channel so that what the channel puts out changes least.

    Parameters
    ----------
    rows : float Tensor, shape (groups, r, n)
        Weights of r output channels in each group.
    scales : float Tensor, shape (groups, r)
    moments : float64 Tensor, shape (groups, n, n)
        From `covariance`.
    levels : range
        The codes.

    Returns
    -------
    (Tensor, Tensor)
        The weights on their grids; for each channel its output's squared error, shape (groups, r).
    """
    factor = _inverse_factor(moments).to(rows.dtype)
    rest, values, errors = rows.clone(), torch.empty_like(rows), torch.zeros_like(scales)
    for place in range(rows.shape[2]):
        column, pivot = rest[:, :, place], factor[:, None, place, place]
        values[:, :, place] = nearest_codes(column / scales, levels) * scales
        error = (column - values[:, :, place]) / pivot
        errors += error.square()
        rest[:, :, place + 1 :] -= error[:, :, None] * factor[:, None, place, place + 1 :]
    return values, errors


def _inverse_factor(moments: Tensor) -> Tensor:
    """Return the upper triangular U with U.T @ U = inverse of the damped moments; dead inputs count as alone."""
    diagonal = moments.diagonal(dim1=1, dim2=2)
    mean = diagonal.mean(1, keepdim=True)
    added = torch.where(mean > 0, mean * DAMPING, 1.0)
    damped = moments + torch.diag_embed(added.expand_as(diagonal))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    return cast(Tensor, torch.linalg.cholesky(inverse, upper=True))
