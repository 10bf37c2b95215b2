"""Count how often the bits of a tensor are 1 and how often they change, on which the energy of wires depends."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim.ir.formats import Format

__all__ = ["BitStatistics"]


@dataclass
class BitStatistics:
    """Counts over the codes of a tensor, batch after batch.

    Bit j of a code is that of its two's complement, as the accelerator's plane j holds it. A change is one between a
    pixel and the next in raster order, of the same channel and image.

    Parameters
    ----------
    format : Format

    Examples
    --------
    >>> statistics = BitStatistics(Format(2, "signed"))
    >>> statistics.add(np.array([[[[0, 1, -1, 1]]]]))
    >>> statistics.density.tolist(), statistics.toggle_rate.round(2).tolist()
    ([0.75, 0.25], [0.33, 0.67])
    """

    format: Format
    codes: int = 0
    """Counted so far."""
    steps: int = 0
    """Pairs of neighbours among them."""
    ones: NDArray[np.int64] = field(init=False)
    toggles: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.ones, self.toggles = (np.zeros(self.format.bits, np.int64) for _ in range(2))

    def add(self, codes: NDArray[np.integer]) -> None:
        """Count codes of shape (N, channels, height, width)."""
        lines = codes.reshape(*codes.shape[:2], -1).astype(np.int64)
        changes = lines[..., 1:] ^ lines[..., :-1]
        self.codes += lines.size
        self.steps += changes.size
        for j in range(self.format.bits):
            self.ones[j] += int((lines >> j & 1).sum())
            self.toggles[j] += int((changes >> j & 1).sum())

    @property
    def density(self) -> NDArray[np.float64]:
        """Share of ones of every bit, the lowest first."""
        return self.ones / max(self.codes, 1)

    @property
    def toggle_rate(self) -> NDArray[np.float64]:
        """Share of neighbours between which a bit changes, the lowest first."""
        return self.toggles / max(self.steps, 1)
