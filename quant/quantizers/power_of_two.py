"""Quantizers whose steps are powers of two, so that every multiplication by a scale is a shift.

The exponents are integers from the start: of all steps 2**k the one of least squared error is taken, by trying them,
or the one next to the best real step. That is the strict form of RAPQ's quantizer (Yao et al., "RAPQ: Rescuing Accuracy
for Power-of-Two Low-bit Post-training Quantization", IJCAI 2022, arXiv 2204.12322); `quant.ptq` then moves exponents.
"""

from __future__ import annotations

from math import ceil, frexp, log2, sqrt
from typing import Literal

import torch
from torch import Tensor

from quant.quantizers.base import ActivationQuantizer, levels_of, nearest_codes, sample_of
from quant.quantizers.stepped import SteppedWeight
from quant.quantizers.steps import SMALLEST_STEP, check_rows, fitted_steps, largest_magnitudes, octaves
from quant.quantizers.zero_points import (
    FittedZero,
    best_zero_point,
    covering_step,
    real_steps,
    widest_step,
    zero_point_of,
)
from sim.errors import InputError
from sim.io.bounds import shown
from sim.ir.formats import Format

__all__ = ["Exponents", "PowerOfTwoActivation", "PowerOfTwoWeight", "power_of_two"]

Exponents = Literal["best", "nearest"]
"""How exponents are chosen: of least squared error, or the logarithm of the best real step rounded."""

EXPONENTS = range(-126, 128)
"""Exponents of the steps that float32 represents together with their inverses."""
SIGNS = Format(1, "bipolar")
"""What one bit of signed values means in units of half a step."""
OCTAVES = 8
"""Exponents tried, from the one that clips nothing downwards: the best step of 2 bits lies within three octaves."""


class PowerOfTwoWeight(SteppedWeight):
    """Signed weights with one scale 2**exponent or -(2**exponent) per output channel.

    Parameters
    ----------
    bits : int, 1..8
    channels : int
    choice : {"best", "nearest"}
        How `initialise` chooses exponents.
    mirror, bipolar : bool
        As in `SteppedWeight`.

    Attributes
    ----------
    exponent : int64 Tensor, shape (channels,)
    mirrored : bool Tensor, shape (channels,)
        Whether the scale is negative.

    Examples
    --------
    >>> quantizer = PowerOfTwoWeight(4, channels=2)
    >>> quantizer.initialise(torch.tensor([[0.9, -0.26, 0.1], [-0.9, 1.0, -0.1]]))
    >>> quantizer.scale, quantizer.codes(torch.tensor([[0.9, -0.26, 0.1], [-0.9, 1.0, -0.1]]))
    (tensor([ 0.1250, -0.1250]), tensor([[ 7, -2,  1],
            [ 7, -8,  1]]))
    """

    exponent: Tensor
    mirrored: Tensor

    def __init__(self, bits: int, *, channels: int, choice: Exponents = "best", mirror: bool = True,
                 bipolar: bool = True) -> None:
        super().__init__(bits, channels=channels, mirror=mirror, bipolar=bipolar)
        self.choice = choice
        self.register_buffer("exponent", torch.zeros(channels, dtype=torch.int64))
        self.register_buffer("mirrored", torch.zeros(channels, dtype=torch.bool))

    @property
    def scale(self) -> Tensor:
        steps = power_of_two(self.exponent)
        return torch.where(self.mirrored, -steps, steps)

    def set_scale(self, scale: Tensor) -> None:
        mantissa, exponent = torch.frexp(scale.abs())
        exponent = exponent.to(torch.int64) - 1
        if not bool(((mantissa == 0.5) & (exponent >= EXPONENTS[0]) & (exponent <= EXPONENTS[-1])).all()):
            raise InputError(f"scales must be 2**k or -(2**k) with k in {EXPONENTS[0]}..{EXPONENTS[-1]}, "
                             f"not {scale.flatten()[:4].tolist()}")
        self.exponent.copy_(exponent)
        self.mirrored.copy_(scale < 0)

    def steps(self, rows: Tensor) -> Tensor:
        return power_of_two(_exponents(rows, self.format, self.choice))

    def least_errors(self, rows: Tensor, fmt: Format) -> Tensor:
        return _best_exponents(rows, fmt)[1]

    def real_steps(self, x: Tensor) -> Tensor:
        """Return the steps of least squared error, above 0, that powers of two stand in for, shape (channels,)."""
        rows = self.rows(x)
        return fitted_steps(torch.where(self.mirrored[:, None], -rows, rows), self.format, "error")


class PowerOfTwoActivation(ActivationQuantizer):
    """Activations with one step 2**exponent per tensor.

    Parameters
    ----------
    bits : int, 1..8
    signed : bool
        False after a ReLU, True for tensors that can be negative.
    exponent : int, -126..127
        Until `initialise` chooses one.
    choice : {"best", "nearest"}
        How it does.
    asymmetric : bool
        Whether signed values get a zero point, which `initialise` chooses too.

    Raises
    ------
    InputError
        If the width or the exponent is out of range.

    Examples
    --------
    >>> PowerOfTwoActivation(5, signed=False, exponent=-4)(torch.tensor([-1.0, 0.5, 0.59, 9.0]))
    tensor([0.0000, 0.5000, 0.5625, 1.9375])
    """

    exponent: Tensor

    def __init__(self, bits: int, *, signed: bool, exponent: int = 0, choice: Exponents = "best",
                 asymmetric: bool = False) -> None:
        super().__init__(bits, signed=signed, asymmetric=asymmetric)
        if exponent not in EXPONENTS:
            raise InputError(f"the exponent of a step must be in {EXPONENTS[0]}..{EXPONENTS[-1]}, "
                             f"not {shown(exponent)}")
        self.choice = choice
        self.register_buffer("exponent", torch.tensor(exponent))

    @property
    def scale(self) -> Tensor:
        return power_of_two(self.exponent)

    @property
    def gain(self) -> Tensor:
        return 1.0 / self.scale

    @property
    def bias(self) -> Tensor:
        return torch.full((), self.zero, dtype=torch.float32)

    def initialise(self, x: Tensor) -> None:
        values = sample_of(x)
        if not self.has_zero:
            self.exponent.copy_(_exponents(values[None], SIGNS, self.choice)[0] + 1)
        elif self._zero_point is not None:
            found = self._fitted(values, self.format_at(self.bits).high)
            self.exponent.fill_(frexp(found.step)[1] - 1)
            self._zero_point.fill_(found.zero_point)
        else:
            self.exponent.copy_(_exponents(values[None], self.format, self.choice)[0])

    def cover(self, low: float, high: float) -> None:
        mantissa, exponent = frexp(covering_step(low, high, self))
        exponent = min(max(exponent - (mantissa == 0.5), EXPONENTS[0]), EXPONENTS[-1])
        self.exponent.fill_(exponent)
        if self._zero_point is not None:
            self._zero_point.fill_(zero_point_of(min(low, 0.0), 2.0**exponent, self.format.high))

    def error(self, x: Tensor, bits: int) -> float:
        values, fmt = sample_of(x), self.format_at(bits)
        if self.asymmetric and bits > 1:
            return self._fitted(values, fmt.high).error
        return float(_best_exponents(values[None], SIGNS if self.signed and bits == 1 else fmt)[1])

    def _fitted(self, values: Tensor, high: int) -> FittedZero:
        top = ceil(log2(widest_step(values, high)))
        exponents = [top - octave for octave in range(OCTAVES)]
        if self.choice == "nearest":
            exponents = [round(log2(best_zero_point(values, high, real_steps(values, high)).step))]
        within = [min(max(exponent, EXPONENTS[0]), EXPONENTS[-1]) for exponent in exponents]
        return best_zero_point(values, high, [2.0**exponent for exponent in within])

    def _value(self, x: Tensor) -> Tensor:
        return (self._round(x) - self.zero) * self.scale

    def _round(self, x: Tensor) -> Tensor:
        fmt = self.format
        return self._codes_near(x / self.scale).clamp(fmt.low, fmt.high)


def power_of_two(exponent: Tensor) -> Tensor:
    """Return 2**exponent for an int64 tensor, exactly, in float32."""
    return torch.ldexp(torch.ones_like(exponent, dtype=torch.float32), exponent)


def _exponents(rows: Tensor, fmt: Format, choice: Exponents) -> Tensor:
    """Return the exponent of each row, chosen as asked."""
    if choice == "best":
        return _best_exponents(rows, fmt)[0]
    steps = fitted_steps(rows, fmt, "error")
    mantissa, exponent = torch.frexp(torch.maximum(steps, torch.ldexp(steps.max(), torch.tensor(-2 * OCTAVES))))
    return (exponent.to(torch.int64) - (mantissa < sqrt(0.5)).to(torch.int64)).clamp(max=EXPONENTS[-1])


def _best_exponents(rows: Tensor, fmt: Format) -> tuple[Tensor, Tensor]:
    """Return the exponents of least squared error and that error [per element], one for each row of `rows`."""
    check_rows(rows)
    largest = largest_magnitudes(rows).clamp(min=SMALLEST_STEP)
    unit = octaves(largest.max())
    rows, largest = torch.ldexp(rows, -unit), torch.ldexp(largest, -unit).clamp(min=2.0**-OCTAVES)
    top = torch.ceil(torch.log2(largest / max(fmt.high, 1))).to(torch.int64).clamp(max=EXPONENTS[-1] - unit)
    best, least = top, torch.full_like(largest, torch.inf)
    for octave in range(OCTAVES):
        exponent = top - octave
        step = power_of_two(exponent)[:, None]
        error = (nearest_codes(rows / step, levels_of(fmt)) * step - rows).square().mean(1)
        best, least = torch.where(error < least, exponent, best), torch.minimum(error, least)
    return best + unit, torch.ldexp(least, 2 * unit)
