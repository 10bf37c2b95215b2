"""Weights with any real step, chosen once: what post-training quantization without powers of two starts from."""

from __future__ import annotations

import torch
from torch import Tensor

from quant.quantizers.base import Quantizer, along_channels, round_half_up, widened
from quant.quantizers.steps import Fit, best_steps, fitted_steps
from sim.ir.formats import Format

__all__ = ["UniformWeight"]


class UniformWeight(Quantizer):
    """Signed weights with a step for each output channel, or one for all, and all 2**bits codes.

    Parameters
    ----------
    bits : int, 2..8
    channels : int
        Output channels; 1: one step for the whole tensor.
    fit : {"error", "range"}
        How `initialise` chooses the steps.

    Examples
    --------
    >>> quantizer = UniformWeight(3, channels=2, fit="range")
    >>> quantizer.initialise(torch.tensor([[1.5, -0.4], [0.3, 0.1]]))
    >>> quantizer.scale, quantizer.codes(torch.tensor([[1.5, -0.4], [0.3, 0.1]]))
    (tensor([0.5000, 0.1000]), tensor([[ 3, -1],
            [ 3,  1]]))
    """

    step: Tensor

    def __init__(self, bits: int, *, channels: int, fit: Fit = "error") -> None:
        super().__init__(bits, signed=True)
        self.fit = fit
        self.register_buffer("step", torch.ones(channels, dtype=torch.float32))

    @property
    def scale(self) -> Tensor:
        return self.step if len(self.step) > 1 else self.step[0]

    def initialise(self, x: Tensor) -> None:
        fmt = self.format
        self.step.copy_(fitted_steps(self._rows(x), fmt.low, fmt.high, self.fit))

    def error(self, x: Tensor, bits: int) -> float:
        fmt = Format(bits, "signed")
        return float(best_steps(self._rows(x), fmt.low, fmt.high)[1].mean())

    def _rows(self, x: Tensor) -> Tensor:
        return widened(x.detach()).reshape(len(self.step), x.numel() // len(self.step))

    def _round(self, x: Tensor) -> Tensor:
        fmt = self.format
        return round_half_up(x / along_channels(self.scale, x)).clamp(fmt.low, fmt.high)
