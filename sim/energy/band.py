"""`Band`: a number with its uncertainty."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import fsum

from sim.io.cells import cell_text

__all__ = ["Band", "sum_bands"]


@dataclass(frozen=True)
class Band:
    """A number with its uncertainty; low <= nominal <= high.

    >>> print(Band(0.5, 1.0, 2500.0))
    1 (0.5 to 2,500)
    """

    low: float
    nominal: float
    high: float

    def __str__(self) -> str:
        return f"{cell_text(self.nominal)} ({cell_text(self.low)} to {cell_text(self.high)})"

    def times(self, factor: float) -> Band:
        """Return the band of a multiple, by a factor of at least 0.

        >>> Band(1.0, 2.0, 4.0).times(3)
        Band(low=3.0, nominal=6.0, high=12.0)
        """
        return Band(self.low * factor, self.nominal * factor, self.high * factor)


def sum_bands(bands: Iterable[Band]) -> Band:
    """Return the band of a sum whose parts are all at the same end of theirs."""
    parts = tuple(bands)
    return Band(fsum(part.low for part in parts), fsum(part.nominal for part in parts),
                fsum(part.high for part in parts))
