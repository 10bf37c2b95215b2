"""LSQ: learnt steps, one for each output channel of weights and one for each tensor.

Esser et al., "Learned Step Size Quantization", ICLR 2020, arXiv 1902.08153. value = step * clamp(round(x / step)); the
gradient of the step follows from the straight-through estimator and is divided by sqrt(elements * largest code), with
the elements that share the step. Steps start at the least squared error instead of the paper's
2 * mean(|x|) / sqrt(largest code), and weights may have one for each output channel instead of one for each layer.
One-bit weights are step * sign(x): the gradient of their step is the sign, that of x passes as in `sign_codes`.
"""

from __future__ import annotations

from math import sqrt
from typing import Any, cast

import torch
from torch import Tensor, nn

from quant.quantizers.base import (
    ActivationQuantizer,
    along_channels,
    round_half_up,
    sample_of,
    scale_gradient,
    sign_codes,
)
from quant.quantizers.pieces import arranged_like, dense, pass_inside, pieces
from quant.quantizers.stepped import SteppedWeight
from quant.quantizers.steps import SMALLEST_STEP, best_signs, largest_magnitudes, least_errors
from quant.quantizers.zero_points import FittedZero, best_zero_point, covering_step, real_steps, zero_point_of
from sim.errors import InputError
from sim.ir.formats import Format

__all__ = ["LSQActivation", "LSQWeight"]

MOST_CHANGE = 1.25
"""Factor by which a step may change between two calls of `project`: at large learning rates the step of a wide tensor,
which is small, would be thrown to 0 by one batch, and from there to infinity by the next."""


MOST_CLIPPED = 0.5
"""Steps for each weight of a channel, divided by the largest code, by which the largest weight may lie beyond that
code. Least squared error puts it a sixth as far beyond, if it alone is clipped."""


class LSQWeight(SteppedWeight):
    """Signed weights with a learnt step for each output channel, or one for all, and all 2**bits codes.

    Signs of mirrored channels are chosen by `initialise` and `set_bits`; training leaves them.

    Parameters
    ----------
    bits : int, 1..8
    channels : int
        Output channels; 1: one step for the whole tensor.
    mirror, bipolar : bool
        As in `SteppedWeight`.

    Attributes
    ----------
    step : float32 Parameter, shape (channels,)
        Above 0.
    mirrored : bool Tensor, shape (channels,)
        Whether the scale is negative.

    Examples
    --------
    >>> quantizer = LSQWeight(2)
    >>> quantizer.codes(torch.tensor([-3.0, -0.5, 0.4, 0.5, 9.0]))
    tensor([-2,  0,  0,  1,  1])
    """

    _last: Tensor
    mirrored: Tensor

    def __init__(self, bits: int, *, channels: int = 1, mirror: bool = True, bipolar: bool = True) -> None:
        super().__init__(bits, channels=channels, mirror=mirror, bipolar=bipolar)
        self.step = nn.Parameter(torch.ones(channels, dtype=torch.float32))
        self.register_buffer("mirrored", torch.zeros(channels, dtype=torch.bool))
        self.register_buffer("_last", torch.ones(channels, dtype=torch.float32))
        self._bounds: tuple[Tensor, Tensor] | None = None

    @property
    def scale(self) -> Tensor:
        return self._with_signs(self.step)

    def set_scale(self, scale: Tensor) -> None:
        if not bool((scale.isfinite() & (scale != 0)).all()):
            raise InputError(f"scales must be finite and not 0, not {scale.flatten()[:4].tolist()}")
        with torch.no_grad():
            self.step.copy_(scale.abs())
            self.mirrored.copy_(scale < 0)
            self._last.copy_(self.step)

    def steps(self, rows: Tensor) -> Tensor:
        return least_errors(rows, self.format)[0]

    def least_errors(self, rows: Tensor, fmt: Format) -> Tensor:
        return least_errors(rows, fmt)[1]

    def continue_with(self, bits: int, x: Tensor) -> None:
        _continue(self, bits, x)

    def project(self) -> None:
        learnt = self.step.detach() != self._last
        _hold_back(self.step, self._last)
        if self._bounds is not None:
            with torch.no_grad():
                self.step.copy_(torch.where(learnt, self.step.clamp(*self._bounds), self.step))
                self._last.copy_(self.step)

    def _value(self, x: Tensor) -> Tensor:
        if self.training and x.numel():
            self._bounds = self._sensible_steps(x)
        scale = self._learnt(x)
        return self._codes(x, scale) * scale

    def _round(self, x: Tensor) -> Tensor:
        return self._codes(x, self._learnt(x))

    def _codes(self, x: Tensor, scale: Tensor) -> Tensor:
        if self.levels.step == 2:
            return sign_codes(x / scale.detach())
        return round_half_up((x / scale).clamp(self.levels[0], self.levels[-1]))

    def _sensible_steps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the smallest and the largest step that can make sense for these weights: the largest clips nothing.

        Nothing else would hold the step of few weights at many bits. A single clipped weight moves it by the largest
        code, far more than roundings could ever move it back, and a BatchNorm hides how coarse the codes have become.
        """
        rows = self.rows(x)
        largest, most = largest_magnitudes(rows), max(abs(self.levels[0]), abs(self.levels[-1]))
        return ((largest / (most + MOST_CLIPPED * rows.shape[1] / most)).clamp(min=SMALLEST_STEP),
                (largest / max(self.levels[-1], 1)).clamp(min=SMALLEST_STEP))

    def _learnt(self, x: Tensor) -> Tensor:
        """Return the scale, shaped to multiply `x`, the gradients of its steps divided."""
        elements = max(x.numel() // self.channels, 1)
        return along_channels(self._with_signs(_scaled(self.step, elements, self.levels)), x)

    def _with_signs(self, step: Tensor) -> Tensor:
        scale = torch.where(self.mirrored, -step, step)
        return scale if self.channels > 1 else scale[0]


class _Values(torch.autograd.Function):
    """Give the whole multiples of `step` next to `x`, from `low` to `high`.

    Gradients are those of the straight-through estimator: that of x is 1 from `low` to `high` steps and 0 beyond, that
    of the step is the multiple, less `x / step` where x is between them.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, low: float, high: float) -> Tensor:
        x = dense(x)
        values = torch.empty_like(x)
        for part, found in pieces(x, values):
            torch.div(part, step, out=found).clamp_(low, high).add_(0.5).floor_().mul_(step)
        ctx.save_for_backward(x, step)
        ctx.ends = low, high
        return values

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (x, step), of_values, (low, high) = ctx.saved_tensors, grads[0], ctx.ends
        of_x, of_step = torch.empty_like(x), torch.zeros_like(step)
        for part, upstream, found in pieces(x, arranged_like(x, of_values), of_x):
            ratio = part / step
            pass_inside(upstream, ratio, low, high, out=found)
            of_step -= found.dot(ratio)
            of_step += upstream.dot(ratio.clamp_(low, high).add_(0.5).floor_())
        return of_x, of_step, None, None


class LSQActivation(ActivationQuantizer):
    """Activations with one learnt step for the whole tensor.

    Parameters
    ----------
    bits : int, 1..8
    signed : bool
    asymmetric : bool
        Whether signed values get a zero point; `initialise` chooses it, training leaves it.

    Attributes
    ----------
    step : float32 Parameter, shape ()

    Examples
    --------
    >>> LSQActivation(2, signed=False)(torch.tensor([-3.0, 0.5, 1.4, 9.0]))
    tensor([0., 1., 1., 3.], grad_fn=<_ValuesBackward>)
    """

    _last: Tensor

    def __init__(self, bits: int, *, signed: bool, asymmetric: bool = False) -> None:
        super().__init__(bits, signed=signed, asymmetric=asymmetric)
        self.step = nn.Parameter(torch.ones((), dtype=torch.float32))
        self.register_buffer("_last", torch.ones((), dtype=torch.float32))

    @property
    def scale(self) -> Tensor:
        return self.step

    @property
    def gain(self) -> Tensor:
        return 1.0 / self.step

    @property
    def bias(self) -> Tensor:
        return torch.full_like(self.step, self.zero)

    def initialise(self, x: Tensor) -> None:
        values = sample_of(x)
        with torch.no_grad():
            if not self.has_zero:
                self.step.fill_(2 * float(best_signs(values[None])[0]))
            elif self._zero_point is not None:
                found = _with_zero(values, self.format_at(self.bits))
                self.step.fill_(found.step)
                self._zero_point.fill_(found.zero_point)
            else:
                self.step.copy_(least_errors(values[None], self.format)[0][0])
            self._last.copy_(self.step)

    def cover(self, low: float, high: float) -> None:
        step = covering_step(low, high, self)
        with torch.no_grad():
            self.step.fill_(step)
            self._last.copy_(self.step)
            if self._zero_point is not None:
                self._zero_point.fill_(zero_point_of(min(low, 0.0), step, self.format.high))

    def error(self, x: Tensor, bits: int) -> float:
        values, fmt = sample_of(x), self.format_at(bits)
        if self.signed and bits == 1:
            return float(best_signs(values[None])[1])
        if self.asymmetric:
            return _with_zero(values, fmt).error
        return float(least_errors(values[None], fmt)[1])

    def continue_with(self, bits: int, x: Tensor) -> None:
        _continue(self, bits, x)

    def project(self) -> None:
        _hold_back(self.step, self._last)

    def _value(self, x: Tensor) -> Tensor:
        if not self.has_zero:
            return (self._round(x) - self.zero) * self._learnt(x)
        return cast(Tensor, _Values.apply(x, self._learnt(x), *self._ends))

    def _round(self, x: Tensor) -> Tensor:
        return self._codes_near((x / self._learnt(x)).clamp(*self._ends))

    @property
    def _ends(self) -> tuple[float, float]:
        """Multiples of the step that the lowest and the highest code mean."""
        return self.format.low - self.zero, self.format.high - self.zero

    def _learnt(self, x: Tensor) -> Tensor:
        """Return the step, its gradient divided; elements are counted per image, so that the batch does not matter."""
        return _scaled(self.step, max(x[:1].numel(), 1), self.levels)


def _with_zero(values: Tensor, fmt: Format) -> FittedZero:
    """Return the step and the zero point of least squared error."""
    return best_zero_point(values, fmt.high, real_steps(values, fmt.high))


def _scaled(step: Tensor, elements: int, levels: range) -> Tensor:
    """Return `step`, its gradient divided by sqrt(elements * largest code)."""
    return scale_gradient(step, 1.0 / sqrt(elements * max(levels[-1], 1)))


def _continue(quantizer: LSQWeight | LSQActivation, bits: int, x: Tensor) -> None:
    """Change the width; steps keep their ratio to those of least error."""
    with torch.no_grad():
        learnt = quantizer.step.detach().clone()
        quantizer.initialise(x)
        ratio = learnt / quantizer.step
        quantizer.set_bits(bits, x)
        quantizer.step.mul_(ratio)
        quantizer._last.copy_(quantizer.step)


def _hold_back(step: nn.Parameter, last: Tensor) -> None:
    """Keep steps positive and near their last values, which they then are."""
    with torch.no_grad():
        step.clamp_(last / MOST_CHANGE, last * MOST_CHANGE).clamp_(min=SMALLEST_STEP)
        last.copy_(step)
