"""QIL: quantizers that learn the interval they quantize.

Jung et al., "Learning to Quantize Deep Networks by Optimizing Quantization Intervals with Task Loss", CVPR 2019,
arXiv 1808.05779. A transformer maps the interval [low, high] of magnitudes to [0, 1] (below it is pruned, above it is
clipped), a discretizer rounds to q steps. The interval is held by its end points, which is the paper's centre and
half-width in a form that is easier to constrain. Two things stand beside the paper: a learnt output scale, so that
layers without BatchNorm and residual paths keep their magnitude, and gradients of the quantizer's own parameters
divided by sqrt(elements * q) as in LSQ (Esser et al., ICLR 2020, arXiv 1902.08153), in place of a hundredfold smaller
learning rate.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn

from quant.quantizers.base import ActivationQuantizer, Quantizer, round_half_up, sample_of, scale_gradient

__all__ = ["QILActivation", "QILWeight"]

MIN_WIDTH = 1e-3
"""Least width of an interval, and least output scale."""
MIN_POSITION = 1e-6
"""Positions are kept this far from 0, where the power's derivative is infinite for gamma below 1."""
GAMMA_RANGE = (0.3, 3.0)
"""Beyond, decision points pile up at one end and learning does not come back."""
CANDIDATES = 64
"""Upper ends tried by the fit: finer changes the squared error by less than 1 %."""


class _Interval(Quantizer):
    """The parameters that both kinds share: scalars `low`, `high` and `amplitude`."""

    def __init__(self, bits: int, *, signed: bool) -> None:
        super().__init__(bits, signed=signed)
        self.low = nn.Parameter(torch.zeros(()))
        self.high = nn.Parameter(torch.ones(()))
        self.amplitude = nn.Parameter(torch.ones(()))

    @property
    def steps(self) -> int:
        """q: codes on one side of 0."""
        return self._steps(self.bits)

    def _steps(self, bits: int) -> int:
        return (1 << (bits - self.signed)) - 1

    @property
    def scale(self) -> Tensor:
        return self.amplitude / self.steps

    def initialise(self, x: Tensor) -> None:
        high, _ = self._best_high(x, self.bits)
        with torch.no_grad():
            self.low.zero_()
            self.high.fill_(high)
            self.amplitude.fill_(high)
        self.project()

    def error(self, x: Tensor, bits: int) -> float:
        return self._best_high(x, bits)[1]

    def project(self) -> None:
        with torch.no_grad():
            self.low.clamp_(min=0.0)
            self.high.clamp_(min=self.low + MIN_WIDTH)
            self.amplitude.clamp_(min=MIN_WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self._round(x) * (self._learnt(self.amplitude, x) / self.steps)

    def _learnt(self, parameter: Tensor, x: Tensor) -> Tensor:
        """A parameter with its gradient scaled; elements are counted per sample for activations."""
        elements = x.numel() if self.signed else x[:1].numel()
        return scale_gradient(parameter, 1.0 / sqrt(max(elements, 1) * self.steps))

    def _position(self, magnitude: Tensor, x: Tensor) -> Tensor:
        """Where a magnitude lies in the interval, in 0..1: the transformer with gamma = 1."""
        low, high = self._learnt(self.low, x), self._learnt(self.high, x)
        return ((magnitude - low) / (high - low)).clamp(0.0, 1.0)

    def _best_high(self, x: Tensor, bits: int) -> tuple[float, float]:
        """Upper end of least squared error with a lower end of 0 and values up to `high`, and that error."""
        data, steps = sample_of(x), self._steps(bits)
        magnitude = data.abs() if self.signed else data
        largest = max(float(magnitude.max()), MIN_WIDTH)
        best = (largest, float("inf"))
        for candidate in range(1, CANDIDATES + 1):
            high = largest * candidate / CANDIDATES
            values = round_half_up(magnitude / high * steps).clamp(0, steps) * (high / steps)
            best = min(best, (high, float((values - magnitude).square().mean())), key=lambda pair: pair[1])
        return best


class QILWeight(_Interval):
    """Signed weights, one interval for the whole tensor, codes -q..q with q = 2**(bits-1) - 1 (2 bits: ternary).

    code = sign(w) * floor(q * T(|w|) + 0.5) with T(a) = clamp((a - low) / (high - low), 0, 1) ** gamma;
    value = amplitude / q * code. gamma is learnt at 2 bits and is 1 at more, where learning it is reported not to
    converge and to gain nothing.

    Examples
    --------
    >>> quantizer = QILWeight(3)
    >>> quantizer.codes(torch.tensor([-2.0, -0.5, -0.1, 0.2, 0.9]))
    tensor([-3, -2,  0,  1,  3])
    """

    def __init__(self, bits: int) -> None:
        super().__init__(bits, signed=True)
        self.gamma = nn.Parameter(torch.ones(()), requires_grad=bits == 2)

    def set_bits(self, bits: int, x: Tensor) -> None:
        super().set_bits(bits, x)
        self.gamma.requires_grad_(bits == 2)

    def initialise(self, x: Tensor) -> None:
        super().initialise(x)
        with torch.no_grad():
            self.gamma.fill_(1.0)

    def project(self) -> None:
        super().project()
        with torch.no_grad():
            self.gamma.clamp_(*GAMMA_RANGE)

    def transform(self, x: Tensor) -> Tensor:
        """The paper's transformer: x to -1..1, zero inside the pruned part, differentiable in x and all parameters."""
        position = self._position(x.abs(), x)
        powered = position.clamp(min=MIN_POSITION) ** self._learnt(self.gamma, x)
        return x.sign() * torch.where(position > 0, powered, torch.zeros_like(position))

    def _round(self, x: Tensor) -> Tensor:
        transformed = self.transform(x)
        return transformed.sign() * round_half_up(self.steps * transformed.abs())


class QILActivation(_Interval, ActivationQuantizer):
    """Activations after a ReLU, one interval for the whole tensor, codes 0..2**bits - 1.

    code = floor(q * clamp((x - low) / (high - low), 0, 1) + 0.5) with q = 2**bits - 1; value = amplitude / q * code.

    Examples
    --------
    >>> QILActivation(2).codes(torch.tensor([-1.0, 0.1, 0.5, 0.7, 2.0]))
    tensor([0, 0, 2, 2, 3])
    """

    def __init__(self, bits: int) -> None:
        super().__init__(bits, signed=False)

    @property
    def gain(self) -> Tensor:
        return self.steps / (self.high - self.low)

    @property
    def bias(self) -> Tensor:
        return -self.low * self.gain

    def _round(self, x: Tensor) -> Tensor:
        return round_half_up(self.steps * self._position(x, x))
