"""What training and evaluation need of a data set."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from quant.data.pixels import Pixels
from sim.ir.formats import Format

__all__ = ["Images"]


class Images(Protocol):
    """Labelled images that are taken a batch at a time: they may lie in memory or on disk.

    The host gives the machine integers, the codes of an image. They are pixels with a mean and a deviation, or, where
    `pixels` is None, numbers of any format that stand for code * 2**exponent.
    """

    @property
    def labels(self) -> Tensor:
        """Classes from 0, int64 of shape (n,)."""

    @property
    def pixels(self) -> Pixels | None:
        """What the codes mean if they are pixels."""

    @property
    def format(self) -> Format:
        """Format of the codes, zero point 0."""

    @property
    def exponent(self) -> int:
        """The value of a code is code * 2**exponent; of no meaning for pixels."""

    def __len__(self) -> int: ...

    def codes(self, which: Tensor | slice) -> Tensor:
        """Return some images as the host gives them, integers of shape (n, C, H, W)."""

    def values(self, which: Tensor | slice) -> Tensor:
        """Return what the codes of some images mean, float32 of shape (n, C, H, W)."""

    def drawn(self, which: Tensor, generator: torch.Generator) -> Tensor:
        """Return the values of the same images as they are trained with, for instance cropped at random."""
