"""Averages: over windows, over cells, and as sums that a shift divides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from torch import Tensor, nn
from torch.nn import functional

from quant.layers.steps import steps_of
from sim.ir.ops import Steps

__all__ = ["Cells", "HostScale", "ShiftAverage", "Window"]


class Window(NamedTuple):
    """Where an average looks, and what it divides the sum by."""

    kernel: tuple[int, int]
    stride: Steps
    padding: tuple[int, int]
    divisor: int


@dataclass(frozen=True)
class Cells:
    """An adaptive average: `output_size` cells cover the map along both axes, or one each; None: as many as it has."""

    output_size: Any

    def counts(self, size: tuple[int, ...]) -> tuple[int, int]:
        """Return how many cells there are along the two axes of a map of this size."""
        given = self.output_size if isinstance(self.output_size, tuple | list) else (self.output_size,) * 2
        first, second = (extent if count is None else int(count) for extent, count in zip(size, given, strict=True))
        return first, second

    def window(self, size: tuple[int, ...]) -> Window | None:
        """Return the window of the average that does the same on maps of this size; None if there is none."""
        counts = self.counts(size)
        if 0 in counts:
            return None
        kernel = size[0] // counts[0], size[1] // counts[1]
        whole = (kernel[0] * counts[0], kernel[1] * counts[1]) == tuple(size)
        return Window(kernel, steps_of(kernel, counts, 1), (0, 0), kernel[0] * kernel[1]) if whole else None


class ShiftAverage(nn.Module):
    """An average times `share`, which makes it the sum over a window times 2**-k, computed without rounding.

    Parameters
    ----------
    average : Cells or Window
    share : float
        divisor / 2**k on the maps that the network was quantized for; on maps of other sizes the same
        share of their average comes out, which then need not be a shift.
    flat : bool
        Whether a row of channels comes out instead of a map, as from a mean over the axes of the map.
    """

    def __init__(self, average: Cells | Window, share: float, *, flat: bool) -> None:
        super().__init__()
        self.average, self.share, self.flat = average, share, flat

    def window(self, size: tuple[int, ...]) -> Window | None:
        """Return the window on maps of this size; None if there is none."""
        return self.average.window(size) if isinstance(self.average, Cells) else self.average

    def weight(self, window: Window) -> float:
        """Return what each element of a window is multiplied by."""
        return self.share / window.divisor

    def forward(self, x: Tensor) -> Tensor:
        window = self.window(tuple(x.shape[2:]))
        if window is None:
            found = functional.adaptive_avg_pool2d(x, cast(Cells, self.average).counts(tuple(x.shape[2:]))) * self.share
        else:
            total = functional.avg_pool2d(x, window.kernel, window.stride, window.padding, divisor_override=1)
            found = total * self.weight(window)
        return found.flatten(1) if self.flat else found


class HostScale(nn.Module):
    """What the host multiplies the codes of a model's output by, beside their step.

    Parameters
    ----------
    factor : float, above 0
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor
