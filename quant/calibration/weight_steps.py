"""Steps of weights by what they do to the layer's output, after its activation.

The squared error of the weights themselves is blind to what they are multiplied by, and to sums that a ReLU or ReLU6
cuts off anyway. Each channel tries steps of both signs next to the one of least weight error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from quant.quantizers.power_of_two import PowerOfTwoWeight
from quant.quantizers.stepped import SteppedWeight

__all__ = ["choose_scale"]

OCTAVES = (0.5, 2.0, 0.25)
"""Multiples of the step of least weight error that power-of-two steps try."""
COARSE = tuple(2.0 ** (quarter / 4) for quarter in (-4, -3, -2, -1, 1, 2))
FINE = (2.0**0.125, 2.0**-0.125, 2.0**0.0625, 2.0**-0.0625, 2.0**0.03125, 2.0**-0.03125)
"""Multiples that real steps try: first of the step of least weight error, then, one by one, of the best so far."""

Errors = Callable[[], Tensor]
"""Returns the squared errors of a layer's output channels with the quantizer's present scale, shape (channels,)."""


def choose_scale(quantizer: SteppedWeight, errors: Errors) -> None:
    """Change the scale of a fitted quantizer to the one of least output error among its neighbours.

    Parameters
    ----------
    quantizer : SteppedWeight
        With the scale of least weight error.
    errors : callable
    """
    search = _Search(quantizer, errors)
    first = quantizer.scale.clone()
    signs = (1.0, -1.0) if quantizer.mirror else (1.0,)
    strict = isinstance(quantizer, PowerOfTwoWeight)
    for sign in signs:
        search.try_all(first, [sign * factor for factor in (1.0, *(OCTAVES if strict else COARSE))])
    for factor in () if strict else FINE:
        search.try_all(search.best.clone(), [factor])
    quantizer.set_scale(search.best)


class _Search:
    def __init__(self, quantizer: SteppedWeight, errors: Errors) -> None:
        self.quantizer, self.errors = quantizer, errors
        self.best = quantizer.scale.clone()
        self.least = torch.full_like(self.best, torch.inf, dtype=torch.float64)

    def try_all(self, scale: Tensor, factors: Sequence[float]) -> None:
        """Keep multiples of a scale where they have less error than the best so far."""
        for factor in factors:
            self.quantizer.set_scale(scale * factor)
            found = self.errors()
            found = found if self.best.ndim else found.sum()
            self.best = torch.where(found < self.least, scale * factor, self.best)
            self.least = torch.minimum(found, self.least)
