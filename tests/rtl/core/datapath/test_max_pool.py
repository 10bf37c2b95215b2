"""The pool engine's comparators."""

from __future__ import annotations

from rtl.core.datapath.max_pool import MaxPoolColumn


def test_pool_column_keeps_the_maximum(run_unit):
    """Lane by lane the planes are those of the largest code so far."""
    run_unit(MaxPoolColumn(8), "max_pool_bench")
