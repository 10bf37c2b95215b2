"""Tensors whose step follows from those of others, because the machine multiplies two tensors without a multiplier.

The product of codes a and b is worth step(a) * step(b), and the machine only shifts it. So one of three steps has to be
what the other two make it, times a power of two: that of the product, or that of one of its operands.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import sqrt

import torch
from torch import Tensor

from quant.quantizers.base import ActivationQuantizer, sample_of, scale_gradient
from quant.quantizers.steps import SMALLEST_STEP, best_signs, least_errors
from quant.quantizers.zero_points import best_zero_point, covering_step, real_steps, zero_point_of

__all__ = ["TiedActivation"]


class TiedActivation(ActivationQuantizer):
    """Activations with a step that is a product of other tensors' steps, divided by those of others, times 2**k.

    k is the least whole number at which the step is not below `wanted`, so that nothing is clipped that a free step
    would not clip.

    Parameters
    ----------
    bits : int, 1..8
    signed : bool
    asymmetric : bool
        Whether signed values get a zero point.

    Attributes
    ----------
    wanted : float32 Tensor, shape ()
        The step that was best when it was fitted.

    Examples
    --------
    >>> from quant.quantizers.lsq import LSQActivation
    >>> other, tied = LSQActivation(8, signed=False), TiedActivation(8, signed=False)
    >>> other.cover(0.0, 3.0 * 255)
    >>> tied.tie((other,), ())
    >>> tied.cover(0.0, 0.7 * 255)
    >>> float(tied.scale.detach())
    0.75
    """

    wanted: Tensor

    def __init__(self, bits: int, *, signed: bool, asymmetric: bool = False) -> None:
        super().__init__(bits, signed=signed, asymmetric=asymmetric)
        self.register_buffer("wanted", torch.ones((), dtype=torch.float32))
        self._others: tuple[tuple[ActivationQuantizer, ...], ...] = ((), ())  # a tuple, so that they are no parts

    def tie(self, factors: Sequence[ActivationQuantizer], divisors: Sequence[ActivationQuantizer]) -> None:
        """Make the step one of `factors`' steps over those of `divisors`, times 2**k."""
        self._others = tuple(factors), tuple(divisors)

    @property
    def follows(self) -> tuple[ActivationQuantizer, ...]:
        """The quantizers that the step follows from."""
        return (*self._others[0], *self._others[1])

    @property
    def scale(self) -> Tensor:
        factors, divisors = ([other.scale for other in others] for others in self._others)
        one = torch.ones((), dtype=torch.float32, device=self.wanted.device)
        unit = reduce(torch.mul, factors, one) / reduce(torch.mul, divisors, one)
        octaves = torch.ceil(torch.log2(self.wanted / unit.detach()))
        return unit * torch.exp2(octaves)

    @property
    def gain(self) -> Tensor:
        return 1.0 / self.scale

    @property
    def bias(self) -> Tensor:
        return torch.full_like(self.wanted, self.zero)

    def initialise(self, x: Tensor) -> None:
        values, fmt = sample_of(x), self.format_at(self.bits)
        with torch.no_grad():
            if not self.has_zero:
                self.wanted.fill_(2 * float(best_signs(values[None])[0]))
            elif self._zero_point is not None:
                found = best_zero_point(values, fmt.high, real_steps(values, fmt.high))
                self.wanted.fill_(found.step)
                self._zero_point.fill_(zero_point_of(-found.zero_point * found.step, float(self.scale), fmt.high))
            else:
                self.wanted.copy_(least_errors(values[None], fmt)[0][0])

    def cover(self, low: float, high: float) -> None:
        with torch.no_grad():
            self.wanted.fill_(max(covering_step(low, high, self), SMALLEST_STEP))
            if self._zero_point is not None:
                self._zero_point.fill_(zero_point_of(min(low, 0.0), float(self.scale), self.format.high))

    def error(self, x: Tensor, bits: int) -> float:
        values, fmt = sample_of(x), self.format_at(bits)
        if self.signed and bits == 1:
            return float(best_signs(values[None])[1])
        if self.asymmetric:
            return best_zero_point(values, fmt.high, real_steps(values, fmt.high)).error
        return float(least_errors(values[None], fmt)[1])

    def _value(self, x: Tensor) -> Tensor:
        step = self._learnt(x)
        return (self._codes(x, step) - self.zero) * step

    def _round(self, x: Tensor) -> Tensor:
        return self._codes(x, self.scale)

    def _codes(self, x: Tensor, step: Tensor) -> Tensor:
        fmt, zero = self.format, self.zero
        return self._codes_near((x / step).clamp(fmt.low - zero, fmt.high - zero))

    def _learnt(self, x: Tensor) -> Tensor:
        """Return the step, with the gradient of a learnt one."""
        return scale_gradient(self.scale, 1.0 / sqrt(max(x[:1].numel(), 1) * max(self.levels[-1], 1)))
