"""Rows held as ranges are the rows held one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.ir.host_rows import Rows

HEIGHT = 12
RANGES = st.tuples(st.integers(0, 1), st.integers(0, HEIGHT - 1), st.integers(1, HEIGHT)).map(
    lambda drawn: (drawn[0], range(drawn[1], min(HEIGHT, drawn[1] + drawn[2]))))


@given(st.lists(RANGES, max_size=20), RANGES)
def test_ranges_are_sets_of_rows(added: list[tuple[int, range]], asked: tuple[int, range]) -> None:
    """Adding tells the first row that is there, asking the first that is not, in any order of ranges."""
    rows, held = Rows(2, HEIGHT), (set[int](), set[int]())
    for part, wanted in added:
        there = min(held[part] & set(wanted), default=None)
        assert rows.add(part, wanted) == there
        if there is None:
            held[part].update(wanted)
    part, wanted = asked
    assert rows.missing(part, wanted) == min(set(wanted) - held[part], default=None)
    missing = [(part, row) for part in range(2) for row in range(HEIGHT) if row not in held[part]]
    assert rows.first_missing() == (missing[0] if missing else None)
