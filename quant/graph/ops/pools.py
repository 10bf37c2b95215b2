"""Maxima and averages over windows, cells and axes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, prod
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from quant.graph.ops.linear import pad_ends
from quant.graph.ops.operator import Operator

__all__ = ["AdaptivePool", "AveragePool", "MaxPool", "Reduce"]

_MAX: dict[int, Callable[..., Tensor]] = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
_AVERAGE: dict[int, Callable[..., Tensor]] = {
    1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}
_ADAPTIVE: dict[tuple[str, int], Callable[..., Tensor]] = {
    ("average", 1): functional.adaptive_avg_pool1d, ("average", 2): functional.adaptive_avg_pool2d,
    ("max", 1): functional.adaptive_max_pool1d, ("max", 2): functional.adaptive_max_pool2d}

_REDUCE: dict[str, Callable[..., Tensor]] = {
    "mean": torch.mean, "sum": torch.sum, "max": torch.amax, "min": torch.amin}


@dataclass(frozen=True)
class MaxPool(Operator):
    """The largest number in each window of x (N, C, ...); pads never win.

    Attributes
    ----------
    kernel, stride, dilation : tuple of int
        One for each axis after the channels.
    pads : tuple of (before, after)
        With what a source's ceil mode adds at the end.
    ceil : bool
        Whether that is all by which the pads after the map differ from those before it.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    ceil: bool = False

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the maxima."""
        (x,) = inputs
        padded = functional.pad(x, pad_ends(self.pads), value=-inf)
        return _MAX[len(self.kernel)](padded, self.kernel, self.stride, dilation=self.dilation)


@dataclass(frozen=True)
class AveragePool(Operator):
    """The sum over each window of x (N, C, ...), divided by how many numbers count.

    Attributes
    ----------
    kernel, stride : tuple of int
        One for each axis after the channels.
    pads : tuple of (before, after)
        Zeros around each of these axes.
    divisor : int or None
        What each sum is divided by; None: by how many numbers of the map or of `counted` pads are in the window.
    counted : tuple of (before, after)
        Pads that count, at most `pads`: all where a source counts pads, none where it does not.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    divisor: int | None
    counted: tuple[tuple[int, int], ...]

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the averages."""
        (x,) = inputs
        sums = self._sums(functional.pad(x, pad_ends(self.pads)))
        return sums / (self.counts(x) if self.divisor is None else self.divisor)

    def counts(self, x: Tensor) -> Tensor:
        """Return how many numbers count in each window of maps like x, shape (1, 1, ...)."""
        ones = functional.pad(torch.ones_like(x[:1, :1]), pad_ends(self.counted), value=1.0)
        rest = tuple((before - counted[0], after - counted[1])
                     for (before, after), counted in zip(self.pads, self.counted, strict=True))
        return self._sums(functional.pad(ones, pad_ends(rest)))

    def _sums(self, padded: Tensor) -> Tensor:
        return _AVERAGE[len(self.kernel)](padded, self.kernel, self.stride) * prod(self.kernel)


@dataclass(frozen=True)
class AdaptivePool(Operator):
    """The average or maximum of each of `size` cells that cover x (N, C, ...).

    Attributes
    ----------
    kind : {"average", "max"}
    size : tuple of int
        Cells along each axis after the channels.
    """

    kind: Literal["average", "max"]
    size: tuple[int, ...]

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return one number for each cell."""
        (x,) = inputs
        return _ADAPTIVE[self.kind, len(self.size)](x, self.size)


@dataclass(frozen=True)
class Reduce(Operator):
    """The average, sum, maximum or minimum over whole axes.

    Attributes
    ----------
    kind : {"mean", "sum", "max", "min"}
    axes : tuple of int
        In rising order.
    keep : bool
        Whether they stay, with size 1.
    """

    kind: Literal["mean", "sum", "max", "min"]
    axes: tuple[int, ...]
    keep: bool

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the reduced value."""
        (x,) = inputs
        return _REDUCE[self.kind](x, dim=self.axes, keepdim=self.keep)
