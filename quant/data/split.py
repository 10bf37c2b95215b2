"""Images and labels as the chip gets them: integer codes of one format."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sim.ir.formats import Format

__all__ = ["Split"]


@dataclass(frozen=True)
class Split:
    """Images and their labels.

    Attributes
    ----------
    codes : integer Tensor, shape (n, C, H, W)
        What the host gives the chip.
    labels : int64 Tensor, shape (n,)
        Classes from 0.
    format : Format
        Of the codes; zero point 0.
    exponent : int
        The value of a code is code * 2**exponent.

    Examples
    --------
    >>> import torch
    >>> split = Split(torch.tensor([[[[0, 3]]], [[[1, 2]]]]), torch.tensor([0, 1]), Format(2, "unsigned"), -1)
    >>> split.images.flatten().tolist(), len(split), split.first(1).labels.tolist()
    ([0.0, 1.5, 0.5, 1.0], 2, [0])
    """

    codes: Tensor
    labels: Tensor
    format: Format
    exponent: int

    @property
    def images(self) -> Tensor:
        """Values of all codes, float32 of the same shape; for many images take `values` of some at a time."""
        return self.values(slice(None))

    def values(self, which: Tensor | slice) -> Tensor:
        """Return the values of some images, float32 of shape (n, C, H, W)."""
        return self.codes[which].float() * 2.0**self.exponent

    def drawn(self, which: Tensor, generator: torch.Generator) -> Tensor:
        """Return the same values: nothing is random here."""
        return self.values(which)

    def first(self, count: int) -> Split:
        """Return the first `count` images."""
        return Split(self.codes[:count], self.labels[:count], self.format, self.exponent)

    def __len__(self) -> int:
        return len(self.labels)
