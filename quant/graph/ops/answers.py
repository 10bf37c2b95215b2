"""What networks do with their results at the end: the host's work, in whose order nothing changes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from quant.graph.ops.operator import Operator

__all__ = ["ArgMax", "LogSoftmax", "Softmax"]


@dataclass(frozen=True)
class Softmax(Operator):
    """exp(x) over its sum along an axis.

    Attributes
    ----------
    axis : int
    """

    axis: int

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the shares."""
        (x,) = inputs
        return torch.softmax(x, self.axis)


class LogSoftmax(Softmax):
    """The logarithm of `Softmax`."""

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the logarithms."""
        (x,) = inputs
        return torch.log_softmax(x, self.axis)


@dataclass(frozen=True)
class ArgMax(Operator):
    """Where along an axis the first of the largest numbers is.

    Attributes
    ----------
    axis : int
    keep : bool
        Whether the axis stays, with size 1.
    """

    axis: int
    keep: bool

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the places, int64."""
        (x,) = inputs
        return torch.argmax(x, self.axis, keepdim=self.keep)
