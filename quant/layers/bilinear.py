"""A layer that makes maps larger by whole factors, with pixels between those that are there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["FACTORS", "Bilinear", "Taps", "bilinear", "taps_along"]

FACTORS = (1, 2, 4)
"""By which maps grow along an axis: the weights are then small whole numbers over a power of two."""


def bilinear(x: Tensor, factors: tuple[int, int]) -> Tensor:
    """Return a map (n, C, H, W) that is `factors` times as large, the edges repeated, as torch's does by default."""
    size = [extent * factor for extent, factor in zip(x.shape[2:], factors, strict=True)]
    return functional.interpolate(x, size, mode="bilinear", align_corners=False)


class Bilinear(nn.Module):
    """Makes a map (n, C, H, W) `factors` times as large, as `nn.Upsample(mode="bilinear")` does.

    Parameters
    ----------
    factors : (rows, columns)
        Of `FACTORS`.
    """

    def __init__(self, factors: tuple[int, int]) -> None:
        super().__init__()
        self.factors = factors

    @property
    def divisor(self) -> int:
        """What the sums of whole weights are divided by."""
        return _whole(self.factors[0]) * _whole(self.factors[1])

    def extra_repr(self) -> str:
        return f"factors={self.factors}"

    def forward(self, x: Tensor) -> Tensor:
        return bilinear(x, self.factors)


class Taps(NamedTuple):
    """Some pixels of a larger axis: number `offset + spacing * i` is made of those from `stride * i` on.

    Attributes
    ----------
    offset, spacing : int
    stride : int
    weights : tuple of int
        Of one pixel or of two neighbours; they add up to twice the factor, or to 1 where it is 1.
    """

    offset: int
    spacing: int
    stride: int
    weights: tuple[int, ...]


def taps_along(extent: int, factor: int) -> Iterator[Taps]:
    """Yield how an axis of `extent` pixels becomes one that is `factor` times as long.

    No window reaches beyond the axis: the outermost pixels, which repeat the first and the last one, are taken by
    themselves.

    >>> [*taps_along(3, 2)]  # doctest: +NORMALIZE_WHITESPACE
    [Taps(offset=0, spacing=5, stride=2, weights=(4,)),
     Taps(offset=2, spacing=2, stride=1, weights=(1, 3)),
     Taps(offset=1, spacing=2, stride=1, weights=(3, 1))]
    """
    whole = _whole(factor)
    if factor == 1 or extent == 1:
        yield from (Taps(phase, factor, 1, (whole,)) for phase in range(factor))
        return
    yield from (Taps(phase, factor * extent - 1 - 2 * phase, extent - 1, (whole,)) for phase in range(factor // 2))
    for phase in range(factor):
        after = 2 * phase + 1 - factor  # the distance from the pixel of this phase, in units of 1 / whole
        first = phase + factor if after < 0 else phase
        share = after % whole
        yield Taps(first, factor, 1, (whole - share, share))


def _whole(factor: int) -> int:
    """Return the sum of the weights along an axis."""
    return 2 * factor if factor > 1 else 1
