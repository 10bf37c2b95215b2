"""Step and zero point of least squared error, together, by trying them.

Codes are 0..high and value = step * (code - zero point), so 0 has a code and the range reaches from -zero point to
high - zero point steps. For one step the nearest multiples do not depend on the zero point, only what is clipped at
the two ends does: values are counted once by their multiple, and every zero point is judged by sums of the counts.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from quant.quantizers.base import ActivationQuantizer
from quant.quantizers.steps import CANDIDATES, SMALLEST_STEP, check_rows, largest_magnitudes, range_steps

__all__ = ["FittedZero", "best_zero_point", "covering_step", "real_steps", "widest_step", "zero_point_of"]


class FittedZero(NamedTuple):
    """A step, its zero point, and the mean squared error that they leave."""

    step: float
    zero_point: int
    error: float


def widest_step(values: Tensor, high: int) -> float:
    """Return the step at which codes 0..high reach from the least to the largest value, and 0.

    >>> widest_step(torch.tensor([-1.0, 2.0]), 3)
    1.0
    """
    check_rows(values[None])
    reach = float(values.max().clamp(min=0)) - float(values.min().clamp(max=0))
    return max((reach or float(largest_magnitudes(values[None])[0])) / high, SMALLEST_STEP)


def covering_step(low: float, high: float, quantizer: ActivationQuantizer) -> float:
    """Return the smallest step at which a quantizer clips nothing from `low` to `high`."""
    values, fmt = torch.tensor([low, high]), quantizer.format
    if not quantizer.has_zero:
        return 2 * max(float(values.abs().max()), SMALLEST_STEP)
    if quantizer.asymmetric:
        return widest_step(values, fmt.high)
    return float(range_steps(values[None], fmt.low, fmt.high)[0])


def zero_point_of(low: float, step: float, high: int) -> int:
    """Return the code of 0 with which the code 0 means about `low`."""
    return min(max(round(-low / step), 0), high)


def real_steps(values: Tensor, high: int) -> list[float]:
    """Return the steps that are tried where any real number will do, the widest first."""
    widest = widest_step(values, high)
    return [max(widest * candidate / CANDIDATES, SMALLEST_STEP) for candidate in range(CANDIDATES, 0, -1)]


def best_zero_point(values: Tensor, high: int, steps: list[float]) -> FittedZero:
    """Return the step of these, and the zero point, of least squared error.

    Parameters
    ----------
    values : float Tensor, shape (n,)
        A sample of a tensor.
    high : int
        Largest code.
    steps : list of float
        Above 0.

    Raises
    ------
    InputError
        If there are no values or they are not finite.

    Examples
    --------
    >>> values = torch.tensor([-0.5, 0.0, 1.0, 1.0, 3.0])
    >>> best_zero_point(values, 7, real_steps(values, 7))
    FittedZero(step=0.5, zero_point=1, error=0.0)
    """
    check_rows(values[None])
    return min((_fitted(values.double(), high, step) for step in steps), key=lambda found: found.error)


def _fitted(values: Tensor, high: int, step: float) -> FittedZero:
    """Return the best zero point for one step."""
    ratios = values / step
    multiples = torch.floor(ratios + 0.5)
    within = multiples.clamp(-high - 1, high + 1)  # what lies beyond is clipped by every zero point
    least = int(within.min())
    places = (within - least).to(torch.int64)
    bins = int(places.max()) + 1
    kept = _sums_below(places, (ratios - multiples).square(), bins)
    moments = [_sums_below(places, weights, bins) for weights in (torch.ones_like(ratios), ratios, ratios.square())]
    lows = torch.arange(0, -high - 1, -1, device=values.device)  # of zero points 0..high
    below, above = ((ends - least).clamp(0, bins) for ends in (lows, lows + high + 1))
    errors = (kept[above] - kept[below] + _squares([sums[below] for sums in moments], lows)
              + _squares([sums[-1] - sums[above] for sums in moments], lows + high))
    best = int(errors.argmin())
    return FittedZero(step, best, max(float(errors[best]), 0.0) / len(values) * step**2)


def _sums_below(places: Tensor, weights: Tensor, bins: int) -> Tensor:
    """Return the sums of the weights whose place is below 0, 1, .. bins."""
    sums = torch.bincount(places, weights, bins)
    return torch.cat([sums.new_zeros(1), sums.cumsum(0)])


def _squares(moments: list[Tensor], end: Tensor) -> Tensor:
    """Return the sum of (ratio - end)**2 over values of which number, sum and sum of squares are given."""
    count, total, squares = moments
    return squares - 2 * end * total + end.square() * count
