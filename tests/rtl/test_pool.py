"""The pool engine's comparators."""

from __future__ import annotations

from rtl.pool import PoolColumn


def test_pool_column_keeps_the_maximum(run_unit):
    """Lane by lane the planes are those of the largest code so far."""
    run_unit(PoolColumn(8), "pool_bench")
