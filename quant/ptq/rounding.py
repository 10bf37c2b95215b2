"""Weights that learn whether to round up or down, and at which power of two.

AdaRound (Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", ICML 2020, arXiv 2004.10568)
lets each weight move between the two codes next to it by a rectified sigmoid. RAPQ (Yao et al., IJCAI 2022, arXiv
2204.12322) does the same to the exponent of each channel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quant.quantizers.base import Quantizer, along_channels
from quant.quantizers.power_of_two import PowerOfTwoWeight
from sim.errors import InputError

__all__ = ["SoftRounding"]

STRETCH, SHIFT = 1.2, -0.1
"""The rectified sigmoid reaches 0 and 1 at finite arguments."""


class SoftRounding(nn.Module):
    """Stands in for a layer's quantizer while its rounding is learnt.

    Parameters
    ----------
    quantizer : Quantizer
        With fitted steps; its exponents change with `snap`.
    weight : Tensor
        The real weights.
    move_exponents : bool
        Learn the exponents too, between the present ones and their neighbours towards the best real step.

    Attributes
    ----------
    logit : nn.Parameter
        Of rounding up, the shape of the weights.
    lift : nn.Parameter or None
        Of taking the larger exponent, shape (channels,).
    """

    def __init__(self, quantizer: Quantizer, weight: Tensor, *, move_exponents: bool) -> None:
        super().__init__()
        if quantizer.levels.step > 1:
            raise InputError("the rounding of bipolar weights cannot be learnt: give their layer at least 2 bits")
        self.quantizer, self.weight = quantizer, weight.detach().clone()
        self.lift: nn.Parameter | None = None
        self.lower = torch.zeros(0, dtype=torch.int64)
        if move_exponents and isinstance(quantizer, PowerOfTwoWeight):
            self.lower, share = _between(quantizer, self.weight)
            self.lift = nn.Parameter(_logit(share))
        self.logit = nn.Parameter(self._start())

    @property
    def scale(self) -> Tensor:
        """Steps with the signs of their channels, shaped to multiply the weights."""
        steps = self.quantizer.scale
        if self.lift is not None:
            steps = steps.sign() * torch.ldexp(torch.exp2(rectified(self.lift)), self.lower)
        return along_channels(steps, self.weight)

    @property
    def up(self) -> Tensor:
        """How far each weight has decided to round up, 0..1."""
        return rectified(self.logit)

    @property
    def lifted(self) -> Tensor:
        """How far each channel has decided for the larger exponent, 0..1; empty if none is open."""
        return torch.zeros(0) if self.lift is None else rectified(self.lift)

    def _start(self) -> Tensor:
        rest = self.weight / self.scale.detach()
        return _logit(rest - torch.floor(rest))

    def forward(self, weight: Tensor) -> Tensor:
        fmt, scale = self.quantizer.format, self.scale
        below = torch.floor(self.weight / scale.detach())
        return (below + self.up).clamp(fmt.low, fmt.high) * scale

    def snap(self) -> None:
        """Decide the exponents, if that is still open; all weights start their rounding anew."""
        if self.lift is None:
            return
        assert isinstance(self.quantizer, PowerOfTwoWeight)
        self.quantizer.exponent.copy_(self.lower + (rectified(self.lift.detach()) >= 0.5))
        self.lift = None
        with torch.no_grad():
            self.logit.copy_(self._start())

    def rounded(self) -> Tensor:
        """Return the weights on their grid."""
        fmt, scale = self.quantizer.format, self.scale.detach()
        below = torch.floor(self.weight / scale)
        return (below + (self.logit.detach() > 0)).clamp(fmt.low, fmt.high) * scale


def rectified(logit: Tensor) -> Tensor:
    """Return the stretched sigmoid, cut to 0..1."""
    return (STRETCH * torch.sigmoid(logit) + SHIFT).clamp(0.0, 1.0)


def _logit(share: Tensor) -> Tensor:
    """Return where the rectified sigmoid is `share`."""
    return torch.logit((share - SHIFT) / STRETCH)


def _between(quantizer: PowerOfTwoWeight, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the exponents below the best real steps, and how far above them these are, 0..1, per channel."""
    mantissa, exponent = torch.frexp(quantizer.real_steps(weight))
    return exponent.to(torch.int64) - 1, torch.log2(mantissa) + 1.0
