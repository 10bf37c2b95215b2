"""What training and evaluation need of a data set."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from sim.ir.formats import Format

__all__ = ["Images"]


class Images(Protocol):
    """Labelled images that are taken a batch at a time: they may lie in memory or on disk."""

    @property
    def labels(self) -> Tensor:
        """Classes from 0, int64 of shape (n,)."""

    @property
    def format(self) -> Format:
        """How the host gives an image to the chip."""

    @property
    def exponent(self) -> int:
        """The value of a code is code * 2**exponent."""

    def __len__(self) -> int: ...

    def values(self, which: Tensor | slice) -> Tensor:
        """Return the values of some images, float32 of shape (n, C, H, W): codes of `format` times 2**exponent."""

    def drawn(self, which: Tensor, generator: torch.Generator) -> Tensor:
        """Return the same images as they are trained with, for instance cropped at random."""
