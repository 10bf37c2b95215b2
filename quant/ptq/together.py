"""The weights of a layer, rounded together to what the float network puts out, from what the quantized one reads.

First comes the layer that least squares gives: real weights that make up, as far as one layer can, for the errors of
the layers before it. How far they leave the trained weights is judged on images that they were not fitted to. These
weights are then rounded one after another, those of the largest inputs first, so that the ones that are still real make
up for the rest; in the end steps and codes are improved in turns. All of it is closed form: nothing is learnt by
gradients (Frantar and Alistarh, "Optimal Brain Compression", NeurIPS 2022, arXiv 2208.11580).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor, nn

from quant.calibration.biases import correction
from quant.calibration.patches import sums, values_read
from quant.calibration.samples import Sample
from quant.ptq.guidance import guided
from quant.ptq.scales import FACTORS, Alternatives, rounded_at_best_scales
from quant.ptq.second_order import damped, improve
from quant.ptq.units import Layer
from quant.quantizers.power_of_two import PowerOfTwoWeight
from quant.quantizers.stepped import SteppedWeight

__all__ = ["positions_for", "round_layer"]

FEWEST_POSITIONS, MOST_POSITIONS = 4096, 8192
POSITIONS_PER_WEIGHT = 16
"""Positions for each weight of an output channel, between these two."""
MOST_VALUES = 1 << 25
"""How many values a layer reads at its positions, which are fewer where there are more."""
SHARES = (0.001, 0.01, 0.1, 1.0, 10.0, inf)
"""How tightly the trained weights hold those of least squares: as shares of the mean variance of what they read."""
FEW = 32
FINE_FACTORS = (1.0, *(2.0 ** (part / 16) for part in range(-18, 12) if part))
"""Factors that are tried on the steps of up to `FEW` weights: each of them is rounded far, and trying is cheap."""
SWEEPS = 3


def positions_for(layer: nn.Conv2d | nn.Linear) -> int:
    """Return at how many positions of all images together a layer is looked at."""
    wanted = max(POSITIONS_PER_WEIGHT * layer.weight[0].numel(), FEWEST_POSITIONS)
    return min(wanted, MOST_POSITIONS, MOST_VALUES // values_read(layer))


@torch.no_grad()
def round_layer(layer: Layer, sample: Sample, target: Tensor, sign: int, fisher: Tensor | None = None,
                others: Alternatives | None = None) -> None:
    """Put a layer's weights on their grid, at new steps, and correct its bias if it has one, in place.

    Parameters
    ----------
    layer : QuantConv2d or QuantLinear
        With real weights and a `SteppedWeight`.
    sample : Sample
        What the quantized network gives it to read, and what is added.
    target : Tensor, shape (positions, channels)
        What the activation reads in float.
    sign : int
        1 or -1: of what is added.
    fisher : float64 Tensor, shape (channels, channels), optional
        How much errors of the output channels matter, alone and together.
    others : Alternatives, optional
    """
    quantizer = layer.weight_quantizer
    assert isinstance(quantizer, SteppedWeight)
    goal = target if sample.residual is None else target - sample.residual * sign
    whole, *halves = _moments(sample, goal, centred=layer.bias is not None)
    groups, count = whole.read.shape[:2]
    rows = _least_squares(layer.weight.reshape(groups, -1, count).double(), whole, halves)
    order = whole.read.diagonal(dim1=1, dim2=2).sort(dim=1, descending=True, stable=True).indices
    read = whole.read.gather(1, order[:, :, None].expand_as(whole.read)).gather(2, order[:, None].expand_as(whole.read))
    ordered = rows.gather(2, order[:, None].expand_as(rows))
    values = _rounded(quantizer, ordered, read, layer.weight.dtype, others)
    if fisher is not None and groups == 1 and quantizer.levels.step == 1:
        scales = quantizer.scale.detach().double().expand(len(layer.weight)).contiguous()
        values = guided(values[0], ordered[0], scales, damped(read)[0], fisher, quantizer.levels)[None]
    back = order.argsort(1)[:, None].expand_as(values)
    layer.weight.copy_(values.gather(2, back).reshape(layer.weight.shape))
    if layer.bias is not None:
        found = sums(sample.read, quantizer(layer.weight)).add_(layer.bias)
        layer.bias += correction(found, goal, sample.images)


@dataclass(frozen=True)
class _Moments:
    """Second moments of what a layer reads, shape (groups, n, n), and with what it should put out, (groups, r, n)."""

    read: Tensor
    cross: Tensor


def _moments(sample: Sample, goal: Tensor, *, centred: bool) -> tuple[_Moments, _Moments, _Moments]:
    """Return the moments of all images, of every other one, and of the rest; centred: without means, for the bias."""
    read, (groups, positions, _) = sample.read, sample.read.shape
    wanted = goal.reshape(positions, groups, -1).transpose(0, 1)
    image = torch.arange(positions) // (positions // sample.images)

    def of(which: Tensor | slice) -> _Moments:
        some, theirs = read[:, which], wanted[:, which]
        if centred:
            some, theirs = some - some.mean(1, keepdim=True), theirs - theirs.mean(1, keepdim=True)
        return _Moments((some.transpose(1, 2) @ some).double(), (theirs.transpose(1, 2) @ some).double())

    return of(slice(None)), of(image % 2 == 0), of(image % 2 == 1)


def _least_squares(rows: Tensor, whole: _Moments, halves: list[_Moments]) -> Tensor:
    """Return the weights of least squares, held to the trained ones as tightly as each half of the images suggests."""
    losses = [sum(_loss(_held(rows, mine, share), other) for mine, other in (halves, halves[::-1]))
              for share in SHARES]
    return _held(rows, whole, SHARES[min(range(len(SHARES)), key=losses.__getitem__)])


def _held(rows: Tensor, moments: _Moments, share: float) -> Tensor:
    """Return the weights of least squares, held to the trained ones by `share` of the mean variance."""
    if share == inf:
        return rows
    missing = moments.cross - rows @ moments.read
    factor = torch.linalg.cholesky(damped(moments.read, share))
    return rows + torch.cholesky_solve(missing.transpose(1, 2), factor).transpose(1, 2)


def _loss(rows: Tensor, moments: _Moments) -> float:
    """Return the squared error of what weights put out, up to a number that is the same for all weights."""
    return float(((rows @ moments.read - 2 * moments.cross) * rows).sum())


def _rounded(quantizer: SteppedWeight, rows: Tensor, read: Tensor, kind: torch.dtype,
             others: Alternatives | None) -> Tensor:
    """Return the weights on their grids, shape (groups, r, n), at steps that the quantizer gets."""
    factors = FINE_FACTORS if rows.shape[2] <= FEW else FACTORS
    values = rounded_at_best_scales(quantizer, rows.to(kind), read, factors, others).double()
    moments, groups = damped(read), len(rows)
    for _ in range(SWEEPS):
        scales = quantizer.scale.detach().double().reshape(-1).expand(groups * rows.shape[1]).reshape(groups, -1)
        codes = (values / scales[:, :, None]).round()
        if not isinstance(quantizer, PowerOfTwoWeight):
            fitted = _refitted(codes, rows, moments, scales, shared=quantizer.channels == 1)
            if others is not None:
                fitted = torch.where((scales.flatten() == others.scales).any(0), scales.flatten(), fitted)
            quantizer.set_scale(fitted)
            scales = quantizer.scale.detach().double().reshape(-1).expand(scales.numel()).reshape(scales.shape)
        values = improve(codes * scales[:, :, None], rows, scales, moments, quantizer.levels)
    return values


def _refitted(codes: Tensor, rows: Tensor, moments: Tensor, scales: Tensor, *, shared: bool) -> Tensor:
    """Return the scales of least error for given codes, shape (channels,), or (1,) if one is shared."""
    weighted = codes @ moments
    wanted, energy = (weighted * rows).sum(2), (weighted * codes).sum(2)
    if shared:
        wanted, energy = wanted.sum().expand_as(wanted), energy.sum().expand_as(energy)
    found = wanted / torch.where(energy > 0, energy, 1.0)
    kept = torch.where((energy > 0) & (found * scales > 0), found, scales).flatten()
    return kept[:1] if shared else kept
