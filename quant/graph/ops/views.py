"""Numbers that move to other places, unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from quant.graph.ops.linear import pad_ends
from quant.graph.ops.operator import Operator
from quant.layers.bilinear import bilinear
from quant.layers.spread import spread

__all__ = ["Bilinear", "Concat", "Gather", "Pad", "Reshape", "Resize", "ResizeMode", "Slice", "Spread", "Transpose"]

ResizeMode = Literal["nearest", "nearest-exact", "linear", "bilinear", "bicubic"]


@dataclass(frozen=True)
class Reshape(Operator):
    """Give every image another shape; squeeze, unsqueeze, flatten and view are Reshapes.

    Attributes
    ----------
    shape : tuple of int
        Of one image: the batch stays axis 0.
    """

    shape: tuple[int, ...]

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the same numbers in the same order."""
        (x,) = inputs
        return x.reshape(x.shape[0], *self.shape)


@dataclass(frozen=True)
class Transpose(Operator):
    """Put the axes into another order.

    Attributes
    ----------
    order : tuple of int
        Which axis comes to each place; the first is 0.
    """

    order: tuple[int, ...]

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the value with its axes moved."""
        (x,) = inputs
        return x.permute(self.order)


@dataclass(frozen=True)
class Concat(Operator):
    """Join values along an axis.

    Attributes
    ----------
    axis : int
    """

    axis: int

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the joined value."""
        return torch.cat(inputs, dim=self.axis)


@dataclass(frozen=True)
class Slice(Operator):
    """Take every `step`-th place of an axis.

    Attributes
    ----------
    axis, start, stop, step : int
        As in range(start, stop, step), with step above 0 and 0 <= start < stop <= size.
    """

    axis: int
    start: int
    stop: int
    step: int = 1

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the places that were taken."""
        (x,) = inputs
        return x.narrow(self.axis, self.start, self.stop - self.start)[(slice(None),) * self.axis
                                                                      + (slice(None, None, self.step),)]


@dataclass(frozen=True)
class Gather(Operator):
    """Take places of an axis by their numbers.

    Attributes
    ----------
    axis : int
    indices : tuple of int
    """

    axis: int
    indices: tuple[int, ...]

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the places in the order of `indices`."""
        (x,) = inputs
        return x.index_select(self.axis, torch.tensor(self.indices, device=x.device))


@dataclass(frozen=True)
class Pad(Operator):
    """Surround the axes with numbers.

    Attributes
    ----------
    pads : tuple of (before, after)
        For each axis but the batch; negative ones cut.
    mode : {"constant", "reflect", "replicate", "circular"}
    value : float
        Of constant pads.
    """

    pads: tuple[tuple[int, int], ...]
    mode: Literal["constant", "reflect", "replicate", "circular"] = "constant"
    value: float = 0.0

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the padded value."""
        (x,) = inputs
        if self.mode == "constant":
            return functional.pad(x, pad_ends(self.pads), value=self.value)
        return functional.pad(x, pad_ends(self.pads[1:]), mode=self.mode)


@dataclass(frozen=True)
class Resize(Operator):
    """Scale the axes after the channels of x (N, C, ...).

    Attributes
    ----------
    size : tuple of int
        What they become.
    mode : {"nearest", "nearest-exact", "linear", "bilinear", "bicubic"}
        As in `torch.nn.functional.interpolate`.
    align_corners : bool
    """

    size: tuple[int, ...]
    mode: ResizeMode
    align_corners: bool = False

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the scaled value."""
        (x,) = inputs
        corners = None if self.mode.startswith("nearest") else self.align_corners
        return functional.interpolate(x, self.size, mode=self.mode, align_corners=corners)


@dataclass(frozen=True)
class Spread(Operator):
    """Spread the pixels of a map (N, C, H, W) over a larger one, as `quant.layers.spread.spread` does.

    Attributes
    ----------
    factors : (rows, columns)
    size : (height, width)
    shuffles : bool
    """

    factors: tuple[int, int]
    size: tuple[int, int]
    shuffles: bool

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the larger map."""
        (x,) = inputs
        return spread(x, self.factors, self.size, shuffles=self.shuffles)


@dataclass(frozen=True)
class Bilinear(Operator):
    """Make a map (N, C, H, W) larger by whole factors, as `quant.layers.bilinear.Bilinear` does.

    Attributes
    ----------
    factors : (rows, columns)
    """

    factors: tuple[int, int]

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the larger map."""
        (x,) = inputs
        return bilinear(x, self.factors)
