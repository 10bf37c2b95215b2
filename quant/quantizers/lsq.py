"""LSQ: one learnt step for each tensor.

Esser et al., "Learned Step Size Quantization", ICLR 2020, arXiv 1902.08153. value = step * clamp(round(x / step)); the
gradient of the step follows from the straight-through estimator and is divided by sqrt(elements * largest code). Steps
start at the least squared error instead of the paper's 2 * mean(|x|) / sqrt(largest code).
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn

from quant.quantizers.base import ActivationQuantizer, Quantizer, round_half_up, sample_of, scale_gradient
from quant.quantizers.steps import SMALLEST_STEP, Fit, best_steps, fitted_steps
from sim.ir.formats import Format

__all__ = ["LSQActivation", "LSQWeight"]

MOST_CHANGE = 1.25
"""Factor by which a step may change between two calls of `project`: at large learning rates the step of a wide tensor,
which is small, would be thrown to 0 by one batch, and from there to infinity by the next."""


class _LearntStep(Quantizer):
    """What both kinds share: the parameter `step`, shape ().

    Parameters
    ----------
    bits : int, 2..8
    signed : bool
    fit : {"error", "range"}
        How `initialise` chooses the step.
    """

    _last: Tensor

    def __init__(self, bits: int, *, signed: bool, fit: Fit = "error") -> None:
        super().__init__(bits, signed=signed)
        self.fit = fit
        self.step = nn.Parameter(torch.ones((), dtype=torch.float32))
        self.register_buffer("_last", torch.ones((), dtype=torch.float32))

    @property
    def scale(self) -> Tensor:
        return self.step

    def initialise(self, x: Tensor) -> None:
        fmt = self.format
        with torch.no_grad():
            self.step.copy_(fitted_steps(sample_of(x)[None], fmt.low, fmt.high, self.fit)[0])
            self._last.copy_(self.step)

    def error(self, x: Tensor, bits: int) -> float:
        fmt = Format(bits, self.format.kind)
        return float(best_steps(sample_of(x)[None], fmt.low, fmt.high)[1])

    def project(self) -> None:
        with torch.no_grad():
            self.step.clamp_(self._last / MOST_CHANGE, self._last * MOST_CHANGE).clamp_(min=SMALLEST_STEP)
            self._last.copy_(self.step)

    def _value(self, x: Tensor) -> Tensor:
        step = self._learnt(x)
        return self._codes(x, step) * step

    def _round(self, x: Tensor) -> Tensor:
        return self._codes(x, self._learnt(x))

    def _codes(self, x: Tensor, step: Tensor) -> Tensor:
        fmt = self.format
        return round_half_up((x / step).clamp(fmt.low, fmt.high))

    def _learnt(self, x: Tensor) -> Tensor:
        """Return the step, its gradient scaled; elements are counted per image for activations."""
        elements = x[:1].numel() if isinstance(self, ActivationQuantizer) else x.numel()
        return scale_gradient(self.step, 1.0 / sqrt(max(elements, 1) * self.format.high))


class LSQWeight(_LearntStep):
    """Signed weights with one step for the whole tensor and all 2**bits codes.

    Examples
    --------
    >>> quantizer = LSQWeight(2)
    >>> quantizer.codes(torch.tensor([-3.0, -0.5, 0.4, 0.5, 9.0]))
    tensor([-2,  0,  0,  1,  1])
    """

    def __init__(self, bits: int) -> None:
        super().__init__(bits, signed=True)


class LSQActivation(_LearntStep, ActivationQuantizer):
    """Activations with one step for the whole tensor.

    Examples
    --------
    >>> LSQActivation(2, signed=False)(torch.tensor([-3.0, 0.5, 1.4, 9.0]))
    tensor([0., 1., 1., 3.], grad_fn=<MulBackward0>)
    """

    @property
    def gain(self) -> Tensor:
        return 1.0 / self.step

    @property
    def bias(self) -> Tensor:
        return torch.zeros_like(self.step)
