"""Round numbers along an axis."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, log10

__all__ = ["Scale", "scale_over"]

STEPS = (1, 2, 5, 10)
WANTED = 6
SMALLEST = 1e-300
"""What is not above this is 0 on a logarithmic scale."""


@dataclass(frozen=True)
class Scale:
    """A map from values to 0..1 along an axis, and its ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value; what lies outside is put at the end."""
        if self.logarithmic:
            value = max(value, self.low)
            return min(1.0, log10(value / self.low) / log10(self.high / self.low))
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


def scale_over(values: Iterable[float], *, logarithmic: bool = False, from_zero: bool = False) -> Scale:
    """Return a scale that has room for all values, between round numbers.

    Values that are not above 0 do not count on a logarithmic scale.

    Examples
    --------
    >>> scale_over([0.2, 17.0], from_zero=True)
    Scale(low=0.0, high=20.0, ticks=(0.0, 5.0, 10.0, 15.0, 20.0), logarithmic=False)
    >>> scale_over([3, 2000], logarithmic=True).ticks
    (1.0, 10.0, 100.0, 1000.0, 10000.0)
    """
    found = [value for value in values if value > SMALLEST or not logarithmic]
    low, high = min(found, default=1.0), max(found, default=1.0)
    if logarithmic:
        first, last = floor(log10(low)), max(ceil(log10(high)), floor(log10(low)) + 1)
        every = max(1, ceil((last - first) / 8))
        return Scale(10.0**first, 10.0**last, tuple(10.0**power for power in range(first, last + 1, every)), True)
    if from_zero:
        low = min(low, 0.0)
    if high <= low:
        low, high = (low - abs(low) / 2, high + abs(high) / 2) if low else (0.0, 1.0)
    step = _step((high - low) / WANTED)
    first, last = floor(low / step), ceil(high / step)
    ticks = tuple(_plain(number * step) for number in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], ticks)


def _step(least: float) -> float:
    """Return the smallest round number that is not below `least`."""
    power = 10.0 ** floor(log10(least))
    return next(step * power for step in STEPS if step * power >= least * (1 - 1e-9))


def _plain(value: float) -> float:
    """Return a multiple of a step without what rounding has left of it."""
    return float(f"{value:.12g}")
