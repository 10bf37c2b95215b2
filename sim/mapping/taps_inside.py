"""How many taps of a sliding window lie inside the map, along one axis."""

from __future__ import annotations

from functools import lru_cache

from sim.mapping.broadcast import arrays, larger, smaller

__all__ = ["taps_inside"]


def taps_inside(size: int, out: int, kernel: int, stride: int, dilation: int, before: int) -> int:
    """Count pairs (output, tap) along one axis with 0 <= stride*output + dilation*tap - before < size."""
    count = _count_inside if arrays(size, out, before) else _known_inside
    return count(size, out, kernel, stride, dilation, before)


def _count_inside(size: int, out: int, kernel: int, stride: int, dilation: int, before: int) -> int:
    total = 0
    for tap in range(kernel):
        shift = dilation * tap - before
        first = larger(0, -(shift // stride))
        last = smaller(out, -((shift - size) // stride))
        total += larger(0, last - first)
    return total


_known_inside = lru_cache(maxsize=1024)(_count_inside)
