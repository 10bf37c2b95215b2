"""What the bytes of an image mean: the normalisation that a network was trained with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sim.errors import InputError
from sim.ir.formats import Format

__all__ = ["PIXEL_FORMAT", "Pixels", "as_values"]

PIXEL_FORMAT = Format(8, "unsigned")
"""How the host gives pixels, apart from the zero point that their mean may make."""
NUMBERS = int, float, np.integer, np.floating
LARGEST = 255
"""The largest pixel, which means 1.0 before normalisation."""


@dataclass(frozen=True)
class Pixels:
    """Pixels of 8 bits; the real value of one in channel c is (pixel / 255 - mean[c]) / deviation[c].

    Attributes
    ----------
    mean : tuple of float
        One for each channel, in 0..1.
    deviation : tuple of float
        One for each channel, in 0.001..1000.

    Raises
    ------
    InputError
        If they are no numbers, out of range, or not equally many.

    Examples
    --------
    >>> grey = Pixels((0.5,), (0.25,))
    >>> values = grey.values(torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8))
    >>> values, grey.codes(values)
    (tensor([[[[-2.0000, -1.2000,  2.0000]]]]), tensor([[[[  0,  51, 255]]]], dtype=torch.uint8))
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", _checked(self.mean, "mean", 0.0, 1.0))
        object.__setattr__(self, "deviation", _checked(self.deviation, "deviation", 0.001, 1000.0))
        if len(self.mean) != len(self.deviation):
            raise InputError(f"mean and deviation must have one number for each channel, not {len(self.mean)} and "
                             f"{len(self.deviation)}")

    @property
    def channels(self) -> int:
        """How many channels an image has."""
        return len(self.mean)

    @property
    def mean_codes(self) -> tuple[int, ...]:
        """The pixels next to the means, which stand for 0 in zero padding."""
        return tuple(int(mean * LARGEST + 0.5) for mean in self.mean)

    def values(self, pixels: Tensor) -> Tensor:
        """Return the normalised values of pixels, float32.

        Parameters
        ----------
        pixels : uint8 Tensor, shape (n, channels, H, W)

        Raises
        ------
        InputError
            If it is no such tensor.
        """
        if pixels.dtype is not torch.uint8:
            raise InputError(f"pixels must be uint8, not {pixels.dtype}")
        mean, deviation = self._by_channel(pixels)
        return (pixels.float() / LARGEST - mean) / deviation

    def codes(self, values: Tensor) -> Tensor:
        """Return the pixels next to normalised values, uint8 of the same shape.

        Parameters
        ----------
        values : float Tensor, shape (n, channels, H, W)

        Raises
        ------
        InputError
            If the shape is another.
        """
        mean, deviation = self._by_channel(values)
        return torch.floor((values * deviation + mean) * LARGEST + 0.5).clamp(0, LARGEST).to(torch.uint8)

    def check(self, images: Tensor) -> None:
        """Refuse images that have not as many channels as there are means."""
        if images.ndim != 4 or images.shape[1] != self.channels:
            raise InputError(f"images must have shape (n, {self.channels}, H, W), as there are {self.channels} means, "
                             f"not {tuple(images.shape)}")

    def _by_channel(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and deviation, shaped and placed like `images`."""
        self.check(images)
        kind = images.dtype if images.is_floating_point() else torch.float32
        mean, deviation = (torch.tensor(numbers, dtype=kind, device=images.device)[:, None, None]
                           for numbers in (self.mean, self.deviation))
        return mean, deviation


def as_values(images: Tensor, pixels: Pixels) -> Tensor:
    """Return uint8 images as normalised values, and those of other types as they are, whose channels must fit too."""
    pixels.check(images)
    return pixels.values(images) if images.dtype is torch.uint8 else images


def _checked(numbers: Any, what: str, low: float, high: float) -> tuple[float, ...]:
    """Return the numbers of a sequence or array that has some, all in low..high."""
    if isinstance(numbers, np.ndarray | Tensor) and numbers.ndim == 1:
        numbers = numbers.tolist()
    if isinstance(numbers, str) or not isinstance(numbers, Sequence) or not numbers:
        raise InputError(f"{what} must be a sequence of numbers, one for each channel, not {numbers!r}")
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, NUMBERS) or not isfinite(number):
            raise InputError(f"{what} must hold finite numbers, not {number!r}")
        if not low <= number <= high:
            raise InputError(f"{what} must be in {low:g}..{high:g}, not {number:g}")
    return tuple(float(number) for number in numbers)
