"""What the machine computes: a convolution of integer weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.ir.formats import Format
from sim.ir.ops import Pads, Steps

__all__ = ["UNIT", "Operator", "identity", "moving"]

UNIT = Format(1, "unit")
ONES = Format(1, "unsigned")
"""Weights of 0 and 1 that no quantizer has made."""


@dataclass(frozen=True, eq=False)
class Operator:
    """y = step * (sum of codes * input) + bias, all per output channel.

    Attributes
    ----------
    codes : int8 array, shape (O, C / groups, kh, kw)
        What the weights mean: -1 and 1 for bipolar ones.
    format : Format
        How the machine stores them.
    step, bias : float64 arrays, shape (O,)
        Value of one weight code, and what is added afterwards.
    groups, stride, dilation, pads
        As in `sim.ir.conv.Conv`.
    split : int
        Groups of a layer of one group into which its weights fall: those between them are 0.
    """

    codes: NDArray[np.int8]
    format: Format
    step: NDArray[np.float64]
    bias: NDArray[np.float64]
    groups: int = 1
    stride: Steps = (1, 1)
    dilation: Steps = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    split: int = 1

    @property
    def stored(self) -> NDArray[np.int8]:
        """The codes as a `Conv` keeps them: bits for bipolar ones."""
        return (self.codes + 1) // 2 if self.format.kind == "bipolar" else self.codes

    def stored_in_groups(self, parts: int) -> tuple[NDArray[np.int8], int]:
        """Return them without the zeros between the groups that they fall into, for an input of one part, and these."""
        if self.split == 1 or parts > 1:
            return self.stored, self.groups
        (outputs, inputs), split = self.codes.shape[:2], self.split
        by_group = self.stored.reshape(split, outputs // split, split, inputs // split, *self.codes.shape[2:])
        own = np.stack([by_group[group, :, group] for group in range(split)])
        return own.reshape(outputs, inputs // split, *self.codes.shape[2:]), split


def moving(codes: NDArray[np.int8], *, groups: int = 1, stride: Steps = (1, 1),
           pads: Pads = (0, 0, 0, 0)) -> Operator:
    """Return the operator of weights that are 0 or 1, at most one 1 for each output channel: it only moves values."""
    fmt = UNIT if groups == len(codes) and codes.all() else ONES
    return Operator(codes, fmt, np.ones(len(codes)), np.zeros(len(codes)), groups, stride, pads=pads)


def identity(channels: int, *, dense: bool) -> Operator:
    """Return the operator that leaves every channel as it is: depthwise, or dense for inputs of several parts."""
    if dense:
        return moving(np.eye(channels, dtype=np.int8)[:, :, None, None])
    return moving(np.ones((channels, 1, 1, 1), np.int8), groups=channels)
