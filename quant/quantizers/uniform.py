"""Weights with any real step, chosen once: what post-training quantization without powers of two starts from."""

from __future__ import annotations

import torch
from torch import Tensor

from quant.quantizers.stepped import SteppedWeight
from quant.quantizers.steps import Fit, fitted_steps, least_errors
from sim.errors import InputError
from sim.ir.formats import Format

__all__ = ["UniformWeight"]


class UniformWeight(SteppedWeight):
    """Signed weights with a real scale for each output channel, or one for all, and all 2**bits codes.

    Parameters
    ----------
    bits : int, 1..8
    channels : int
        Output channels; 1: one scale for the whole tensor.
    fit : {"error", "range"}
        How `initialise` chooses the steps.
    mirror, bipolar : bool
        As in `SteppedWeight`.

    Attributes
    ----------
    step : float32 Tensor, shape (channels,)
        Negative for mirrored channels.

    Examples
    --------
    >>> quantizer = UniformWeight(3, channels=2, fit="range")
    >>> quantizer.initialise(torch.tensor([[2.0, -0.4], [0.3, -0.4]]))
    >>> quantizer.scale, quantizer.codes(torch.tensor([[2.0, -0.4], [0.3, -0.4]]))
    (tensor([-0.5000,  0.1000]), tensor([[-4,  1],
            [ 3, -4]]))
    """

    step: Tensor

    def __init__(self, bits: int, *, channels: int, fit: Fit = "error", mirror: bool = True,
                 bipolar: bool = True) -> None:
        super().__init__(bits, channels=channels, mirror=mirror, bipolar=bipolar)
        self.fit = fit
        self.register_buffer("step", torch.ones(channels, dtype=torch.float32))

    @property
    def scale(self) -> Tensor:
        return self.step if len(self.step) > 1 else self.step[0]

    def set_scale(self, scale: Tensor) -> None:
        if not bool((scale.isfinite() & (scale != 0)).all()):
            raise InputError(f"scales must be finite and not 0, not {scale.flatten()[:4].tolist()}")
        self.step.copy_(scale)

    def steps(self, rows: Tensor) -> Tensor:
        return fitted_steps(rows, self.format, self.fit)

    def least_errors(self, rows: Tensor, fmt: Format) -> Tensor:
        return least_errors(rows, fmt)[1]
