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

from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.quantizers.base import nearest_codes

__all__ = ["covariance", "damped", "improve", "round_together"]

DAMPING = 0.01
"""Share of the mean variance that is added to every variance."""
BLOCK = 64
"""Weights of a channel that are rounded before the others are told, in one product of matrices."""


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
    for block in _blocks(rows.shape[2]):
        made = torch.empty_like(rest[:, :, block])
        for place in range(block.start, block.stop):
            column, pivot = rest[:, :, place], factor[:, None, place, place]
            values[:, :, place] = nearest_codes(column / scales, levels) * scales
            error = (column - values[:, :, place]) / pivot
            errors += error.square()
            made[:, :, place - block.start] = error
            rest[:, :, place + 1 : block.stop] -= error[:, :, None] * factor[:, None, place, place + 1 : block.stop]
        rest[:, :, block.stop :] -= made @ factor[:, block, block.stop :]
    return values, errors


def improve(values: Tensor, rows: Tensor, scales: Tensor, moments: Tensor, levels: range) -> Tensor:
    """Return weights on their grids of which each in turn has become the best one beside all others.

    Parameters
    ----------
    values : float64 Tensor, shape (groups, r, n)
        On their grids.
    rows : float64 Tensor, shape (groups, r, n)
        What they stand for.
    scales : float64 Tensor, shape (groups, r)
    moments : float64 Tensor, shape (groups, n, n)
        Damped.
    levels : range
    """
    found, slope = values.clone(), (values - rows) @ moments
    for block in _blocks(rows.shape[2]):
        before, here, part = found[:, :, block].clone(), slope[:, :, block].clone(), moments[:, block, block]
        for place in range(block.stop - block.start):
            column = found[:, :, block.start + place]
            best = column - here[:, :, place] / part[:, None, place, place]
            change = nearest_codes(best / scales, levels) * scales - column
            column += change
            here += change[:, :, None] * part[:, None, place]
        slope += (found[:, :, block] - before) @ moments[:, block]
    return found


def damped(moments: Tensor, share: float = DAMPING) -> Tensor:
    """Return moments with a share of the mean variance added to each; dead inputs count as alone."""
    diagonal = moments.diagonal(dim1=1, dim2=2)
    mean = diagonal.mean(1, keepdim=True)
    added = torch.where(mean > 0, mean * share, 1.0)
    return moments + torch.diag_embed(added.expand_as(diagonal))


def _blocks(count: int) -> list[slice]:
    return [slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]


def _inverse_factor(moments: Tensor) -> Tensor:
    """Return the upper triangular U with U.T @ U = inverse of the damped moments."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped(moments)))
    return cast(Tensor, torch.linalg.cholesky(inverse, upper=True))
