"""Weights whose steps are chosen, not trained: one per output channel or per tensor, of either sign.

b bits have one negative code more than positive ones: at 2 bits {-2, -1, 0, 1}. A channel whose weights reach further
to the positive side is mirrored: its scale is negative, and the same codes mean |scale| * {2, 1, 0, -1}. The machine
multiplies by signed digits, so this costs nothing there.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from quant.quantizers.base import Quantizer, along_channels, nearest_codes, widened
from quant.quantizers.steps import largest_magnitudes
from sim.ir.formats import Format

__all__ = ["SteppedWeight"]


class SteppedWeight(Quantizer):
    """Signed weights with a chosen scale for each output channel, or one for all, and all 2**bits codes.

    Parameters
    ----------
    bits : int, 1..8
    channels : int
        Output channels; 1: one scale for the whole tensor.
    mirror : bool
        Whether `initialise` may make scales negative, where that has less squared error.
    bipolar : bool
        Whether codes of one bit are -1 and 1, as in dense layers; else -1 and 0, or mirrored 1 and 0, because the
        machine's depthwise layers have no others and the zeros of grouped layers need one.
    """

    def __init__(self, bits: int, *, channels: int, mirror: bool, bipolar: bool) -> None:
        super().__init__(bits, signed=True, bipolar=bipolar)
        self.channels, self.mirror = channels, mirror

    @abstractmethod
    def set_scale(self, scale: Tensor) -> None:
        """Take steps and signs that others have chosen.

        Parameters
        ----------
        scale : Tensor, shape () or (channels,)
            Value of one code; negative for mirrored channels.

        Raises
        ------
        InputError
            If it is no scale of this kind of quantizer.
        """

    @abstractmethod
    def steps(self, rows: Tensor) -> Tensor:
        """Return the steps, above 0, that this kind of quantizer chooses for rows that are not mirrored.

        Parameters
        ----------
        rows : float Tensor, shape (channels, n)

        Returns
        -------
        float Tensor, shape (channels,)
        """

    @abstractmethod
    def least_errors(self, rows: Tensor, fmt: Format) -> Tensor:
        """Return the least mean squared error of rows that are not mirrored, shape (channels,)."""

    def initialise(self, x: Tensor) -> None:
        rows = self.rows(x)
        scale = self.steps(rows)
        if self.mirror:
            mirrored = self.steps(-rows)
            better = self._relative_errors(-rows, mirrored) < self._relative_errors(rows, scale)
            scale = torch.where(better, -mirrored, scale)
        self.set_scale(scale)

    def error(self, x: Tensor, bits: int) -> float:
        rows, fmt = self.rows(x), self.format_at(bits)
        errors = self.least_errors(rows, fmt)
        if self.mirror:
            errors = torch.minimum(errors, self.least_errors(-rows, fmt))
        return float(errors.mean())

    def rows(self, x: Tensor) -> Tensor:
        """Return the weights as one row for each scale, detached, shape (channels, n)."""
        return widened(x.detach()).reshape(self.channels, x.numel() // self.channels)

    def _round(self, x: Tensor) -> Tensor:
        return nearest_codes(x / along_channels(self.scale, x), self.levels)

    def _relative_errors(self, rows: Tensor, steps: Tensor) -> Tensor:
        """Return the mean squared error of each row in units of its largest magnitude, so that none underflows."""
        largest = largest_magnitudes(rows)[:, None]
        codes = nearest_codes(rows / steps[:, None], self.levels)
        return (codes * (steps[:, None] / largest) - rows / largest).square().mean(1)
