"""The width of partial sums, at every moment of every step, on every machine."""

from __future__ import annotations

from itertools import product

import pytest

from rtl.encoding.geometry import Geometry
from sim.arch.machine import Machine, load_machine


def extremes(bits_w: int, bits_a: int, signed_w: bool, signed_a: bool) -> tuple[int, int]:
    """Smallest and largest partial sum per lane, after any pair of planes: each lane counts 0 or 1 in every pair."""
    low = high = lowest = highest = 0
    for significance in range(bits_w + bits_a - 2, -1, -1):
        low, high = 2 * low, 2 * high
        for w in range(bits_w):
            if 0 <= significance - w < bits_a:
                minus = (signed_w and w == bits_w - 1) != (signed_a and significance - w == bits_a - 1)
                low, high = low - minus, high + (not minus)
                lowest, highest = min(lowest, low), max(highest, high)
    return lowest, highest


@pytest.mark.parametrize("lanes", [4, 8, 64, 128])
def test_partial_sums_fit(lanes):
    """Whatever the planes hold, no pair of a step leaves the range, for all widths and kinds a machine runs.

    Unsigned weights have 7 bits at most, since weight codes are int8.
    """
    for most_w, most_a in product(range(1, 9), repeat=2):
        machine = Machine(**load_machine("tiny").model_dump() | {
            "lanes": lanes, "stream_bits": lanes, "max_bits_w": most_w, "max_bits_a": most_a, "table_bits": 0})
        limit = 1 << (Geometry(machine).partial_bits - 1)
        for bits_w, bits_a, signed_w, signed_a in product(
                range(1, most_w + 1), range(1, most_a + 1), (False, True), (False, True)):
            if signed_w or bits_w < 8:
                low, high = extremes(bits_w, bits_a, signed_w, signed_a)
                assert -limit <= lanes * low <= lanes * high < limit, (most_w, most_a, bits_w, bits_a)
