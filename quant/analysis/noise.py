"""Signal and noise, summed over batches."""

from __future__ import annotations

from math import log10

from torch import Tensor

from quant.quantizers.base import ActivationQuantizer

__all__ = ["Clipped", "Noise"]


class Noise:
    """The power of a signal and of its error so far."""

    def __init__(self) -> None:
        self.signal = self.error = 0.0

    def add(self, exact: Tensor, found: Tensor) -> None:
        """Count more elements: what they should be, and what they are."""
        self.signal += float(exact.double().square().sum())
        self.error += float((found.double() - exact.double()).square().sum())

    @property
    def sqnr_db(self) -> float | None:
        """Signal to quantization noise [dB]; None where there is no noise, or nothing but noise.

        >>> import torch
        >>> noise = Noise()
        >>> noise.add(torch.tensor([3.0, 1.0]), torch.tensor([3.0, 0.0]))
        >>> noise.sqnr_db
        10.0
        """
        return 10.0 * log10(self.signal / self.error) if self.error and self.signal else None


class Clipped:
    """The share of elements so far that lie beyond the outermost codes of a quantizer by more than rounding does."""

    def __init__(self) -> None:
        self.count = self.beyond = 0

    def add(self, x: Tensor, quantizer: ActivationQuantizer) -> None:
        """Count what the quantizer reads; of a ReLU's output, what is 0 is not clipped."""
        codes = quantizer.gain * x + quantizer.bias
        low, high = quantizer.levels[0], quantizer.levels[-1]
        self.count += x.numel()
        self.beyond += int(((codes < low - 0.5) | (codes >= high + 0.5)).sum())

    @property
    def share(self) -> float:
        """Share of the elements, 0..1."""
        return self.beyond / max(self.count, 1)
