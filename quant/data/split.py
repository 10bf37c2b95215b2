"""Images and labels as the machine gets them: integer codes of one format."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from quant.data.pixels import PIXEL_FORMAT, Pixels
from sim.ir.formats import Format

__all__ = ["Split"]


@dataclass(frozen=True)
class Split:
    """Images and their labels in memory.

    Attributes
    ----------
    stored : integer Tensor, shape (n, C, H, W)
        What the host gives the machine; uint8 for pixels.
    labels : int64 Tensor, shape (n,)
        Classes from 0.
    format : Format
        Of the codes; zero point 0.
    exponent : int
        The value of a code is code * 2**exponent, where it is no pixel.
    pixels : Pixels or None
        What the codes mean if they are pixels.
    mirrored : bool
        Mirror half of the images that are trained with.

    Examples
    --------
    >>> import torch
    >>> split = Split(torch.tensor([[[[0, 3]]], [[[1, 2]]]]), torch.tensor([0, 1]), Format(2, "unsigned"), -1)
    >>> split.images.flatten().tolist(), len(split), split.first(1).labels.tolist()
    ([0.0, 1.5, 0.5, 1.0], 2, [0])
    """

    stored: Tensor
    labels: Tensor
    format: Format = PIXEL_FORMAT
    exponent: int = 0
    pixels: Pixels | None = None
    mirrored: bool = False

    @property
    def images(self) -> Tensor:
        """Values of all codes, float32 of the same shape; for many images take `values` of some at a time."""
        return self.values(slice(None))

    def codes(self, which: Tensor | slice) -> Tensor:
        """Return some images as the host gives them, integers of shape (n, C, H, W)."""
        return self.stored[which]

    def values(self, which: Tensor | slice) -> Tensor:
        """Return the values of some images, float32 of shape (n, C, H, W)."""
        codes = self.codes(which)
        return codes.float() * 2.0**self.exponent if self.pixels is None else self.pixels.values(codes)

    def drawn(self, which: Tensor, generator: torch.Generator) -> Tensor:
        """Return the values of the same images, half of them mirrored if they may be."""
        values = self.values(which)
        if not self.mirrored:
            return values
        turned = torch.rand(len(values), generator=generator) < 0.5
        return torch.where(turned[:, None, None, None], values.flip(3), values)

    def first(self, count: int) -> Split:
        """Return the first `count` images."""
        return replace(self, stored=self.stored[:count], labels=self.labels[:count])

    def __len__(self) -> int:
        return len(self.labels)
