"""Quantizers whose steps are powers of two, so that every multiplication by a scale is a shift.

The exponents are integers from the start: of all steps 2**k the one of least squared error is taken, by trying them,
or the one next to the best real step. That is the strict form of RAPQ's quantizer (Yao et al., "RAPQ: Rescuing Accuracy
for Power-of-Two Low-bit Post-training Quantization", IJCAI 2022, arXiv 2204.12322); `quant.ptq` then moves exponents.
"""

from __future__ import annotations

from math import sqrt
from typing import Literal

import torch
from torch import Tensor

from quant.quantizers.base import ActivationQuantizer, Quantizer, along_channels, round_half_up, sample_of, widened
from quant.quantizers.steps import SMALLEST_STEP, best_steps, check_rows, largest_magnitudes, octaves
from sim.errors import InputError
from sim.io.bounds import shown
from sim.ir.formats import Format

__all__ = ["Exponents", "PowerOfTwoActivation", "PowerOfTwoWeight", "power_of_two"]

Exponents = Literal["best", "nearest"]
"""How exponents are chosen: of least squared error, or the logarithm of the best real step rounded."""

EXPONENTS = range(-126, 128)
"""Exponents of the steps that float32 represents together with their inverses."""
OCTAVES = 8
"""Exponents tried, from the one that clips nothing downwards: the best step of 2 bits lies within three octaves."""


class _PowerOfTwo(Quantizer):
    exponent: Tensor
    choice: Exponents

    def _exponents(self, rows: Tensor) -> Tensor:
        fmt = self.format
        if self.choice == "best":
            return _best_exponents(rows, fmt)[0]
        mantissa, exponent = torch.frexp(best_steps(rows, fmt.low, fmt.high)[0])
        return (exponent.to(torch.int64) - (mantissa < sqrt(0.5)).to(torch.int64)).clamp(max=EXPONENTS[-1])

    @property
    def scale(self) -> Tensor:
        return power_of_two(self.exponent)

    def _round(self, x: Tensor) -> Tensor:
        fmt = self.format
        return round_half_up(x / along_channels(self.scale, x)).clamp(fmt.low, fmt.high)


class PowerOfTwoWeight(_PowerOfTwo):
    """Signed weights with one step 2**exponent per output channel.

    Parameters
    ----------
    bits : int, 2..8
    channels : int
    choice : {"best", "nearest"}
        How `initialise` chooses exponents.

    Attributes
    ----------
    exponent : int64 Tensor, shape (channels,)

    Examples
    --------
    >>> quantizer = PowerOfTwoWeight(4, channels=1)
    >>> quantizer.initialise(torch.tensor([[0.9, -0.26, 0.1]]))
    >>> quantizer.scale, quantizer.codes(torch.tensor([[0.9, -0.26, 0.1]]))
    (tensor([0.1250]), tensor([[ 7, -2,  1]]))
    """

    def __init__(self, bits: int, *, channels: int, choice: Exponents = "best") -> None:
        super().__init__(bits, signed=True)
        self.choice = choice
        self.register_buffer("exponent", torch.zeros(channels, dtype=torch.int64))

    def initialise(self, x: Tensor) -> None:
        self.exponent.copy_(self._exponents(widened(x.detach()).flatten(1)))

    def real_steps(self, x: Tensor) -> Tensor:
        """Return the steps of least squared error that powers of two stand in for, shape (channels,)."""
        return best_steps(widened(x.detach()).flatten(1), self.format.low, self.format.high)[0]

    def error(self, x: Tensor, bits: int) -> float:
        return float(_best_exponents(widened(x.detach()).flatten(1), Format(bits, "signed"))[1].mean())


class PowerOfTwoActivation(_PowerOfTwo, ActivationQuantizer):
    """Activations with one step 2**exponent per tensor.

    Parameters
    ----------
    bits : int, 2..8
    signed : bool
        False after a ReLU, True for tensors that can be negative.
    exponent : int, -126..127
        Until `initialise` chooses one.
    choice : {"best", "nearest"}
        How it does.

    Raises
    ------
    InputError
        If the width or the exponent is out of range.

    Examples
    --------
    >>> PowerOfTwoActivation(5, signed=False, exponent=-4)(torch.tensor([-1.0, 0.5, 0.59, 9.0]))
    tensor([0.0000, 0.5000, 0.5625, 1.9375])
    """

    def __init__(self, bits: int, *, signed: bool, exponent: int = 0, choice: Exponents = "best") -> None:
        super().__init__(bits, signed=signed)
        if exponent not in EXPONENTS:
            raise InputError(f"the exponent of a step must be in {EXPONENTS[0]}..{EXPONENTS[-1]}, "
                             f"not {shown(exponent)}")
        self.choice = choice
        self.register_buffer("exponent", torch.tensor(exponent))

    @property
    def gain(self) -> Tensor:
        return 1.0 / self.scale

    @property
    def bias(self) -> Tensor:
        return torch.zeros((), dtype=torch.float32)

    def initialise(self, x: Tensor) -> None:
        self.exponent.copy_(self._exponents(sample_of(x)[None])[0])

    def error(self, x: Tensor, bits: int) -> float:
        fmt = Format(bits, "signed" if self.signed else "unsigned")
        return float(_best_exponents(sample_of(x)[None], fmt)[1])


def power_of_two(exponent: Tensor) -> Tensor:
    """Return 2**exponent for an int64 tensor, exactly, in float32."""
    return torch.ldexp(torch.ones_like(exponent, dtype=torch.float32), exponent)


def _best_exponents(rows: Tensor, fmt: Format) -> tuple[Tensor, Tensor]:
    """Return the exponents of least squared error and that error [per element], one for each row of `rows`."""
    check_rows(rows)
    largest = largest_magnitudes(rows).clamp(min=SMALLEST_STEP)
    unit = octaves(largest.max())
    rows, largest = torch.ldexp(rows, -unit), torch.ldexp(largest, -unit).clamp(min=2.0**-OCTAVES)
    top = torch.ceil(torch.log2(largest / fmt.high)).to(torch.int64).clamp(max=EXPONENTS[-1] - unit)
    best, least = top, torch.full_like(largest, torch.inf)
    for octave in range(OCTAVES):
        exponent = top - octave
        step = power_of_two(exponent)[:, None]
        error = (round_half_up(rows / step).clamp(fmt.low, fmt.high) * step - rows).square().mean(1)
        best, least = torch.where(error < least, exponent, best), torch.minimum(error, least)
    return best + unit, torch.ldexp(least, 2 * unit)
