"""What accumulators and codes of an op mean, between the real network and the requantizer's integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, isinf, log2

import numpy as np
from numpy.typing import NDArray

from quant.lowering.meaning import Meaning
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.residual import Broadcast

__all__ = ["Output", "Residual", "Sums", "host_output"]

Reals = NDArray[np.float64]
Range = tuple[NDArray[np.int64], NDArray[np.int64]]

LOGIT_BITS = 16
"""Width of logits whose biases are no whole steps of what they add: fewer would make ties of different biases."""


@dataclass(frozen=True)
class Output:
    """Where an op leads: code = gain * y + bias, with what may come out and what that means.

    `is_sign` tells of two codes of which the upper one begins half way between them.
    """

    gain: float
    bias: float
    format: Format
    meaning: Meaning
    is_sign: bool = False

    def lowest(self, floor_: float) -> int:
        """Return the code of the least value that an activation lets through; clamping codes there is the same."""
        return self.format.low if isinf(floor_) else self._code(floor_)

    def highest(self, ceiling: float) -> int:
        """Return the code of the largest value that an activation lets through; clamping codes there is the same."""
        return self.format.high if isinf(ceiling) else self._code(ceiling)

    def _code(self, value: float) -> int:
        return min(max(floor(self.gain * value + self.bias + 0.5), self.format.low), self.format.high)


@dataclass(frozen=True, eq=False)
class Sums:
    """What accumulators mean per output channel: y = scale * (acc - zero) + bias, and which occur.

    Attributes
    ----------
    scale, bias : float64 arrays, shape (channels,)
    range : tuple of int64 arrays, shape (channels,)
        Least and largest accumulators.
    zero : int64 array, shape (channels,)
    finest : float
        The largest number of which all values that are read are multiples, as a share of their scale.
    """

    scale: Reals
    bias: Reals
    range: Range
    zero: NDArray[np.int64]
    finest: float

    @property
    def reach(self) -> float:
        """Largest magnitude of y."""
        low, high = self.range
        return float(np.max(np.abs(self.scale) * np.maximum(self.zero - low, high - self.zero) + np.abs(self.bias)))


@dataclass(frozen=True, eq=False)
class Residual:
    """What is added to sums, or subtracted from them, or by what they are multiplied.

    Attributes
    ----------
    name : str
        Of the tensor.
    part : int
        Which of its parts it is.
    format : Format
    meaning : Meaning
    sign : int
        1 or -1.
    multiplies : bool
        Whether the sums are multiplied by it instead.
    broadcast : {"none", "map", "channel"}
        Whether it has one value for each channel, or one channel.
    """

    name: str
    part: int
    format: Format
    meaning: Meaning
    sign: int
    multiplies: bool = False
    broadcast: Broadcast = "none"


def host_output(parts: Sequence[tuple[Sums, Residual | None]], arithmetic: Arithmetic) -> Output:
    """Return the finest scale at which every channel's real output fits a signed code of at most acc_bits bits.

    Channels may differ so much that the finest of them has to be coarser, for the multipliers of the others.

    Parameters
    ----------
    parts : sequence of (Sums, Residual or None)
        What each op that writes the output makes of it.
    arithmetic : Arithmetic
    """
    step, least, reach = float("inf"), 0.0, 0.0
    for sums, residual in parts:
        steps = np.abs(sums.scale[sums.scale != 0])
        far = sums.reach
        if residual is not None and residual.multiplies:
            step = min(step, float(steps.min()) * residual.meaning.scale)
            reach = max(reach, far * residual.meaning.largest(residual.format))
            continue
        step = min(step, (float(steps.min()) if len(steps) else 1.0) * sums.finest)
        least = max(least, float(steps.max(initial=0.0)) / (1 << (arithmetic.window - 1)))
        if residual is not None:
            meaning = residual.meaning
            step = min(step, meaning.scale * meaning.finest)  # so that no sum is rounded where all are powers of two
            far += meaning.largest(residual.format)
            least = max(least, meaning.scale / (1 << (arithmetic.residual_window - 1)))
        reach = max(reach, far)
    if any(np.any(sums.bias % step) for sums, _ in parts):
        step *= min(2.0 ** floor(log2(reach / step) + 2 - LOGIT_BITS), 1.0)
    while step < least or reach / step >= (1 << (arithmetic.acc_bits - 1)) - 1:
        step *= 2.0
    fmt = Format(int(reach / step + 1).bit_length() + 1, "signed")
    return Output(1.0 / step, 0.0, fmt, Meaning(step, np.zeros(sum(len(sums.scale) for sums, _ in parts))))
