"""Columns that read in the same cycle never want the same bank."""

from __future__ import annotations

from math import gcd

import pytest


@pytest.mark.parametrize("columns", range(1, 33))
def test_columns_of_a_phase_have_banks_of_their_own(columns):
    """In each of gcd(stride, C) phases the rows of the columns differ modulo C, for every rest of a stride."""
    for stride in range(1, columns + 1):
        per_phase = columns // gcd(stride, columns)
        for first in range(0, columns, per_phase):
            banks = {stride * c % columns for c in range(first, first + per_phase)}
            assert len(banks) == per_phase, (stride, first)
