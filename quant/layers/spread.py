"""A layer that spreads the pixels of a map over a larger one: it moves values and computes none."""

from __future__ import annotations

from torch import Tensor, nn

from quant.layers.selection import Selection, selected

__all__ = ["Spread", "moved", "spread"]


def spread(x: Tensor, factors: tuple[int, int], size: tuple[int, int], *, shuffles: bool) -> Tensor:
    """Return a larger map, each of whose blocks of `factors` pixels comes from one pixel of x (N, C, H, W).

    Parameters
    ----------
    x : Tensor
    factors : (rows, columns)
        Of a block.
    size : (height, width)
        Of the result; what the blocks have beyond it is left out.
    shuffles : bool
        Whether the pixels of a block are so many channels of x, row by row, and not one and the same number.
    """
    down, across = factors
    if shuffles:
        n, channels, height, width = x.shape
        x = x.reshape(n, channels // (down * across), down, across, height, width).permute(0, 1, 4, 2, 5, 3)
        x = x.reshape(n, channels // (down * across), height * down, width * across)
    else:
        x = x.repeat_interleave(down, 2).repeat_interleave(across, 3)
    return x[:, :, : size[0], : size[1]]


class Spread(nn.Module):
    """Makes of every pixel of a map (n, C, H, W) a block: of copies of it, or of its channels, which become fewer.

    Parameters
    ----------
    factors : (rows, columns)
        Of a block.
    size : (height, width)
        Of the larger map; what the blocks have beyond it is left out.
    shuffles : bool
        Whether the pixels of a block are so many channels, row by row.
    """

    def __init__(self, factors: tuple[int, int], size: tuple[int, int], *, shuffles: bool) -> None:
        super().__init__()
        self.factors, self.size, self.shuffles = factors, size, shuffles

    @property
    def phases(self) -> int:
        """Pixels of a block."""
        return self.factors[0] * self.factors[1]

    def origins(self, channels: int) -> tuple[int, ...]:
        """Return, of so many channels that it reads, the one from which the first pixel of each that it makes comes."""
        return tuple(range(0, channels, self.phases if self.shuffles else 1))

    def extra_repr(self) -> str:
        return f"factors={self.factors}, size={self.size}, shuffles={self.shuffles}"

    def forward(self, x: Tensor) -> Tensor:
        return spread(x, self.factors, self.size, shuffles=self.shuffles)


def moved(layer: nn.Module, of_channels: Tensor, *, zeros: float) -> Tensor:
    """Return what belongs to the channels that a `Selection` or `Spread` makes; `zeros` belongs to one of zeros."""
    if isinstance(layer, Spread):
        return of_channels[list(layer.origins(len(of_channels)))]
    assert isinstance(layer, Selection)
    return selected(of_channels, layer.channels, zeros=zeros)
