"""QIL: quantizers that learn the interval they quantize.

Jung et al., "Learning to Quantize Deep Networks by Optimizing Quantization Intervals with Task Loss", CVPR 2019, arXiv
1808.05779. A transformer maps the interval [low, high] of magnitudes to [0, 1] (below it is pruned, above it is
clipped), a discretizer rounds to q steps. The interval is held by its end points, which is the paper's centre and
half-width in a form that is easier to constrain. Two things stand beside the paper: an output scale, so that layers and
residual paths keep their magnitude, learnt but for weights in front of a BatchNorm, which makes up for any scale; and
gradients of the quantizer's own parameters divided by sqrt(elements * q) as in LSQ (Esser et al., ICLR 2020, arXiv
1902.08153). The alternative to the latter is a hundredfold smaller learning rate: `QILOptions(gradients="plain")` with
`Recipe(interval_rate=0.01)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from quant.quantizers.base import (
    ActivationQuantizer,
    Quantizer,
    along_channels,
    round_half_up,
    sample_of,
    scale_gradient,
    sign_codes,
    widened,
)
from quant.quantizers.pieces import arranged_like, dense, pass_inside, pieces
from quant.quantizers.steps import SMALLEST_STEP, best_signs, best_steps, check_rows, largest_magnitudes, range_steps

__all__ = ["QILActivation", "QILOptions", "QILWeight"]

LEAST_SHARE = 1e-3
"""Least width of an interval, and least output scale, as shares of the largest of its ends and the scale."""
MIN_POSITION = 1e-6
"""Positions are kept this far from 0, where the power's derivative is infinite for gamma below 1."""
LEAST_GAMMA_BITS = 3
"""Below, gamma changes no code that the ends of the interval could not change as well."""
GAMMA_RANGE = (0.3, 3.0)
"""Beyond, decision points pile up at one end and learning does not come back."""


@dataclass(frozen=True)
class QILOptions:
    """What is learnt, and how fast.

    Attributes
    ----------
    gamma : bool
        Learn the exponent of the weights' transformer, from 3 bits on. At 2 bits there is one decision point on each
        side of 0, which `low` and `high` alone can put anywhere: gamma could only shape gradients there, and stays 1.
    gradients : {"lsq", "plain"}
        Of the quantizer's parameters: divided by sqrt(elements * q), or as they are.
    """

    gamma: bool = True
    gradients: Literal["lsq", "plain"] = "lsq"


class _Interval(Quantizer):
    """The parameters that both kinds share: scalars `low`, `high` and `amplitude`."""

    def __init__(self, bits: int, *, signed: bool, options: QILOptions) -> None:
        super().__init__(bits, signed=signed)
        self.options = options
        self.low = nn.Parameter(torch.zeros((), dtype=torch.float32))
        self.high = nn.Parameter(torch.ones((), dtype=torch.float32))
        self.amplitude = nn.Parameter(torch.ones((), dtype=torch.float32))

    @property
    def centre(self) -> Tensor:
        """c of the paper: the middle of the interval."""
        return (self.low + self.high) / 2

    @property
    def half_width(self) -> Tensor:
        """d of the paper: half of the interval's width."""
        return (self.high - self.low) / 2

    @property
    def steps(self) -> int:
        """q: codes on one side of 0."""
        return self._steps(self.bits)

    def _steps(self, bits: int) -> int:
        return max((1 << (bits - self.signed)) - 1, 1)

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

    def continue_with(self, bits: int, x: Tensor) -> None:
        with torch.no_grad():
            low, high, amplitude = (end.detach().clone() for end in (self.low, self.high, self.amplitude))
            self.initialise(x)
            fitted = self.high.clone()
            self.set_bits(bits, x)
            ratio = self.high / fitted
            for parameter, learnt in ((self.low, low), (self.high, high), (self.amplitude, amplitude)):
                parameter.copy_(learnt * ratio)
        self.project()

    def error(self, x: Tensor, bits: int) -> float:
        return self._best_high(x, bits)[1]

    def project(self) -> None:
        with torch.no_grad():
            reach = torch.stack([self.low, self.high, self.amplitude]).abs().max()
            least = (LEAST_SHARE * reach).clamp(min=SMALLEST_STEP)
            self.low.clamp_(min=0.0)
            self.high.clamp_(min=self.low + least)
            self.amplitude.clamp_(min=least)

    def _value(self, x: Tensor) -> Tensor:
        return self._round(x) * (self._learnt(self.amplitude, x) / self.steps)

    def _learnt(self, parameter: Tensor, x: Tensor) -> Tensor:
        """Return a parameter with its gradient scaled; elements are counted per sample for activations."""
        if self.options.gradients == "plain":
            return parameter
        elements = x.numel() if self.signed else x[:1].numel()
        return scale_gradient(parameter, 1.0 / sqrt(max(elements, 1) * self.steps))

    def _position(self, magnitude: Tensor, x: Tensor) -> Tensor:
        """Return where a magnitude lies in the interval, in 0..1: the transformer with gamma = 1."""
        low, high = self._learnt(self.low, x), self._learnt(self.high, x)
        return ((magnitude - low) / (high - low)).clamp(0.0, 1.0)

    def _best_high(self, x: Tensor, bits: int) -> tuple[float, float]:
        """Return the upper end of least squared error with a lower end of 0 and values up to `high`, and that error."""
        steps = self._steps(bits)
        step, error = best_steps(sample_of(x)[None], 0, steps)
        return float(step) * steps, float(error)


class QILWeight(_Interval):
    """Signed weights, one interval for the whole tensor, codes -q..q with q = 2**(bits-1) - 1 (2 bits: ternary).

    code = sign(w) * floor(q * T(|w|) + 0.5) with T(a) = clamp((a - low) / (high - low), 0, 1) ** gamma;
    value = amplitude / q * code. gamma is held by its logarithm, so that it stays positive, and is 1 where it is not
    learnt.

    One bit has no symmetric codes with 0. Bipolar ones have no interval either: code = sign(w). The others are -1 and 0
    with an interval on one side of 0, for each output channel the side where its weights have more energy.

    Parameters
    ----------
    bits : int, 1..8
    options : QILOptions, optional
    channels : int
        Output channels, or 1, which share a side.
    scaled : bool
        Whether the amplitude is learnt; else it stays what it was fitted to, for layers in front of a BatchNorm.
    bipolar : bool
        Whether codes of one bit are -1 and 1.

    Attributes
    ----------
    mirrored : bool Tensor, shape (channels,)
        Whether codes -1 and 0 mean positive weights; it matters at one bit that is not bipolar alone.

    Examples
    --------
    >>> quantizer = QILWeight(3)
    >>> quantizer.codes(torch.tensor([-2.0, -0.5, -0.1, 0.2, 0.9]))
    tensor([-3, -2,  0,  1,  3])
    """

    mirrored: Tensor

    def __init__(self, bits: int, options: QILOptions | None = None, *, channels: int = 1, scaled: bool = True,
                 bipolar: bool = True) -> None:
        super().__init__(bits, signed=True, options=options or QILOptions())
        self.bipolar = bipolar
        self.amplitude.requires_grad_(scaled)
        self.log_gamma = nn.Parameter(torch.zeros((), dtype=torch.float32), requires_grad=self.options.gamma)
        self.register_buffer("mirrored", torch.zeros(channels, dtype=torch.bool))

    @property
    def gamma(self) -> Tensor:
        """Exponent of the transformer."""
        return self.log_gamma.exp()

    @property
    def scale(self) -> Tensor:
        return self._with_signs(super().scale)

    @property
    def _learns_gamma(self) -> bool:
        return self.options.gamma and self.bits >= LEAST_GAMMA_BITS

    @property
    def _one_sided(self) -> bool:
        return self.bits == 1 and not self.bipolar

    def initialise(self, x: Tensor) -> None:
        super().initialise(x)
        with torch.no_grad():
            self.log_gamma.zero_()
        self.mirrored.copy_(self._heavier_above(x))

    def continue_with(self, bits: int, x: Tensor) -> None:
        log_gamma = self.log_gamma.detach().clone()
        super().continue_with(bits, x)
        if bits >= LEAST_GAMMA_BITS:
            with torch.no_grad():
                self.log_gamma.copy_(log_gamma)

    def project(self) -> None:
        super().project()
        with torch.no_grad():
            self.log_gamma.clamp_(*(log(end) for end in GAMMA_RANGE))

    def transform(self, x: Tensor) -> Tensor:
        """Apply the paper's transformer: x to -1..1, 0 where pruned, differentiable in x and in all parameters."""
        return x.sign() * self._powered(x.abs(), x)

    def _value(self, x: Tensor) -> Tensor:
        step = self._learnt(self.amplitude, x) / self.steps
        return self._round(x) * along_channels(self._with_signs(step), x)

    def _round(self, x: Tensor) -> Tensor:
        if self.levels.step == 2:
            return sign_codes(x / self.amplitude.detach()) + self._nothing()
        if self._one_sided:
            side = along_channels(self.mirrored.to(x.dtype) * 2 - 1, x)
            return -round_half_up(self._powered(side * x, x))
        transformed = self.transform(x)
        return transformed.sign() * round_half_up(self.steps * transformed.abs())

    def _powered(self, magnitude: Tensor, x: Tensor) -> Tensor:
        """Return T of a magnitude, in 0..1."""
        position = self._position(magnitude, x)
        # Where gamma is not learnt its gradient is 0, not absent: processes that train together expect one of it.
        log_gamma = self._learnt(self.log_gamma, x) if self._learns_gamma else scale_gradient(self.log_gamma, 0.0)
        powered = position.clamp(min=MIN_POSITION) ** log_gamma.exp()
        return torch.where(position <= 0, torch.zeros_like(position), powered)

    def _nothing(self) -> Tensor:
        """Return 0, with gradients of 0 to what bipolar codes do not depend on: other processes expect them."""
        return 0.0 * (self.low + self.high + self.log_gamma)

    def _with_signs(self, scale: Tensor) -> Tensor:
        return torch.where(self.mirrored, -scale, scale) if self._one_sided else scale

    def _best_high(self, x: Tensor, bits: int) -> tuple[float, float]:
        if bits == 1 and self.bipolar:
            scale, error = best_signs(sample_of(x)[None])
            return float(scale), float(error)
        if bits == 1:
            rows = self._rows(x)
            return super()._best_high(torch.where(self._heavier_above(x)[:, None], rows, -rows), bits)
        return super()._best_high(x.abs(), bits)

    def _heavier_above(self, x: Tensor) -> Tensor:
        """Return for each channel whether its weights above 0 have more energy than those below."""
        rows = self._rows(x)
        check_rows(rows)
        rows = rows / largest_magnitudes(rows)[:, None]
        return rows.clamp(min=0).square().sum(1) > rows.clamp(max=0).square().sum(1)

    def _rows(self, x: Tensor) -> Tensor:
        return widened(x.detach()).reshape(len(self.mirrored), x.numel() // len(self.mirrored))


class _Values(torch.autograd.Function):
    """Give `amplitude` times the `steps`-th parts of 1 next to where `x` lies between `low` and `high`.

    Gradients are those of the straight-through estimator, which passes rounding: that of x is amplitude / (high - low)
    from `low` to `high` and 0 beyond.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: Tensor, high: Tensor, amplitude: Tensor, steps: int) -> Tensor:
        x = dense(x)
        values, width, scale = torch.empty_like(x), high - low, amplitude / steps
        for part, found in pieces(x, values):
            torch.sub(part, low, out=found).div_(width).clamp_(0.0, 1.0).mul_(steps).add_(0.5).floor_().mul_(scale)
        ctx.save_for_backward(x, low, width, amplitude)
        ctx.steps = steps
        return values

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (x, low, width, amplitude), of_values = ctx.saved_tensors, grads[0]
        of_x, slope = torch.empty_like(x), amplitude / width
        passed, moved, codes = torch.zeros(3, dtype=low.dtype, device=low.device)
        for part, upstream, found in pieces(x, arranged_like(x, of_values), of_x):
            position = (part - low).div_(width)
            pass_inside(upstream, position, 0.0, 1.0, out=found)
            passed += found.sum()
            moved += found.dot(position)
            codes += upstream.dot(position.clamp_(0.0, 1.0).mul_(ctx.steps).add_(0.5).floor_())
            found.mul_(slope)
        return of_x, (moved - passed) * slope, -moved * slope, codes / ctx.steps, None


class QILActivation(_Interval, ActivationQuantizer):
    """Activations after a ReLU, one interval for the whole tensor, codes 0..2**bits - 1.

    code = floor(q * clamp((x - low) / (high - low), 0, 1) + 0.5) with q = 2**bits - 1; value = amplitude / q * code.

    Examples
    --------
    >>> QILActivation(2).codes(torch.tensor([-1.0, 0.1, 0.5, 0.7, 2.0]))
    tensor([0, 0, 2, 2, 3])
    """

    def __init__(self, bits: int, options: QILOptions | None = None) -> None:
        super().__init__(bits, signed=False, options=options or QILOptions())

    def cover(self, low: float, high: float) -> None:
        with torch.no_grad():
            self.low.zero_()
            self.high.copy_(range_steps(torch.tensor([[0.0, high]]), 0, self.steps)[0] * self.steps)
            self.amplitude.copy_(self.high)
        self.project()

    @property
    def gain(self) -> Tensor:
        return self.steps / (self.high - self.low)

    @property
    def bias(self) -> Tensor:
        return -self.low * self.gain

    def _value(self, x: Tensor) -> Tensor:
        learnt = (self._learnt(parameter, x) for parameter in (self.low, self.high, self.amplitude))
        return cast(Tensor, _Values.apply(x, *learnt, self.steps))

    def _round(self, x: Tensor) -> Tensor:
        return round_half_up(self.steps * self._position(x, x))
