"""What the codes of a stored tensor mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sim.ir.formats import Format

__all__ = ["Meaning", "accumulator_zero"]

Real = TypeVar("Real", np.int64, np.float64)


@dataclass(frozen=True, eq=False)
class Meaning:
    """The value of a code in channel c is scale * (code - zeros[c]).

    Attributes
    ----------
    scale : float
        Value of one code.
    zeros : float64 array, shape (channels,)
        Codes whose value is 0: the format's zero point, but for pixels, whose channels may differ, and for tensors of 1
        signed bit, where 0 lies half way between the codes.
    """

    scale: float
    zeros: NDArray[np.float64]

    @property
    def codes(self) -> NDArray[np.int64]:
        """The zeros rounded down to codes."""
        return np.floor(self.zeros).astype(np.int64)

    @property
    def rest(self) -> NDArray[np.float64]:
        """What is rounded away, 0 or 0.5."""
        return self.zeros - np.floor(self.zeros)

    @property
    def finest(self) -> float:
        """The largest number of which all values are multiples, as a share of the scale: 0.5 where 0 is half a code."""
        return 0.5 if self.rest.any() else 1.0

    def in_shape(self, before: tuple[int, int, int], after: tuple[int, int, int]) -> Meaning:
        """Return the meaning of the same codes when a map of one shape (channels, height, width) takes another."""
        return replace(self, zeros=np.broadcast_to(self.zeros[:, None, None], before).reshape(after)[:, 0, 0])

    def largest(self, fmt: Format) -> float:
        """Return the largest magnitude that a code of this format can mean."""
        return self.scale * float(max(fmt.high - self.zeros.min(), self.zeros.max() - fmt.low))


def accumulator_zero(weights: NDArray[np.integer], zeros: NDArray[Real]) -> NDArray[Real]:
    """Return the sum that each output channel makes of codes that mean 0, or of other numbers.

    Parameters
    ----------
    weights : integer array, shape (O, C, kh, kw), or (C, 1, kh, kw) of a depthwise convolution
    zeros : int64 or float64 array, shape (C,)

    Examples
    --------
    >>> accumulator_zero(np.array([[[[1, 2]], [[3, 4]]]]), np.array([10, 100]))
    array([730])
    >>> accumulator_zero(np.array([[[[1, 2]]], [[[3, 4]]]]), np.array([10, 100]))
    array([ 30, 700])
    """
    sums = weights.sum(axis=(2, 3), dtype=np.int64).astype(zeros.dtype)
    found: NDArray[Real] = sums[:, 0] * zeros if sums.shape[1] == 1 else np.sum(sums * zeros, axis=1, dtype=zeros.dtype)
    return found
