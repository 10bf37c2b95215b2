"""The front against the definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bitwright.explore.front import pareto_front


@given(st.integers(1, 3).flatmap(lambda width: st.lists(st.tuples(*[st.integers(0, 6)] * width), max_size=40)))
def test_nothing_dominates_the_front(rows):
    """It has each value that no other is better than, once, by its first row, in rising order."""
    def dominates(a, b):
        return a != b and all(x <= y for x, y in zip(a, b, strict=True))

    wanted = {row for row in rows if not any(dominates(other, row) for other in rows)}
    found = pareto_front(rows)
    assert [rows[index] for index in found] == sorted(wanted)
    assert all(rows.index(rows[index]) == index for index in found)
