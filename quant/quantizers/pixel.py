"""The quantizer of an input that the host gives as pixels."""

from __future__ import annotations

from math import log2

import torch
from torch import Tensor

from quant.data.pixels import PIXEL_FORMAT, Pixels
from quant.quantizers.base import ActivationQuantizer, round_half_up
from sim.errors import InputError
from sim.ir.formats import Format

__all__ = ["PixelActivation"]


class PixelActivation(ActivationQuantizer):
    """Normalised values to pixels; a pixel p of channel c goes on as 2**exponent * (p - mean_codes[c]).

    So the zeros of padding are mean pixels, and values stay about as large as normalised ones: the power of two is the
    one next to a pixel's step of normalised values. What is left of mean and deviation is for the layers that read it.

    Parameters
    ----------
    pixels : Pixels

    Attributes
    ----------
    meaning : Pixels
        Mean and deviation of what goes on: those of `pixels`, unless a network normalises once more (`mean_that`).

    Examples
    --------
    >>> quantizer = PixelActivation(Pixels((0.5,), (0.25,)))
    >>> x = torch.tensor([[[[-9.0, 0.0, 0.1]]]])
    >>> quantizer.codes(x), quantizer(x) * 2**6, quantizer.format.zero_point
    (tensor([[[[  0, 128, 134]]]]), tensor([[[[-128.,    0.,    6.]]]]), 128)
    """

    mean: Tensor
    deviation: Tensor
    centres: Tensor

    def __init__(self, pixels: Pixels) -> None:
        super().__init__(PIXEL_FORMAT.bits, signed=True)
        self.register_buffer("mean", torch.tensor(pixels.mean)[:, None, None])
        self.register_buffer("deviation", torch.tensor(pixels.deviation)[:, None, None])
        self.register_buffer("centres", torch.tensor(pixels.mean_codes)[:, None, None])
        self.meaning = pixels

    @property
    def pixels(self) -> Pixels:
        """Mean and deviation."""
        return Pixels(*(tuple(numbers.double().flatten().tolist()) for numbers in (self.mean, self.deviation)))

    def mean_that(self, meaning: Pixels) -> None:
        """Pass on pixels of this mean and deviation; the values that are read stay those of `pixels`."""
        self.meaning = meaning
        self.centres.copy_(torch.tensor(meaning.mean_codes)[:, None, None])

    @property
    def format(self) -> Format:
        centres = self.centres.flatten().tolist()
        return Format(PIXEL_FORMAT.bits, PIXEL_FORMAT.kind, centres[0] if len(set(centres)) == 1 else 0)

    @property
    def zero_points(self) -> Tensor:
        return self.centres.flatten()

    @property
    def scale(self) -> Tensor:
        steps = [-log2(PIXEL_FORMAT.high * deviation) for deviation in self.deviation.flatten().tolist()]
        return torch.full((), 2.0**round(sum(steps) / len(steps)), dtype=self.mean.dtype, device=self.mean.device)

    @property
    def gain(self) -> Tensor:
        return self.deviation * PIXEL_FORMAT.high

    @property
    def bias(self) -> Tensor:
        return self.mean * PIXEL_FORMAT.high

    def read_from(self, codes: Tensor) -> Tensor:
        return self.pixels.values(codes.to(torch.uint8))

    def initialise(self, x: Tensor) -> None:
        """Change nothing: the host decides what a pixel means."""

    def cover(self, low: float, high: float) -> None:
        """Change nothing, likewise."""

    def error(self, x: Tensor, bits: int) -> float:
        self._check(bits)
        with torch.no_grad():
            return float((self.read_from(self.codes(x)) - x).square().mean())

    def set_bits(self, bits: int, x: Tensor) -> None:
        self._check(bits)

    def _check(self, bits: int) -> None:
        if bits != PIXEL_FORMAT.bits:
            raise InputError(f"pixels have {PIXEL_FORMAT.bits} bits, not {bits}")

    def _value(self, x: Tensor) -> Tensor:
        return (self._round(x) - self.centres) * self.scale

    def _round(self, x: Tensor) -> Tensor:
        return round_half_up((x * self.deviation + self.mean) * PIXEL_FORMAT.high).clamp(0, PIXEL_FORMAT.high)
