"""Names beside the points of a figure."""

from __future__ import annotations

from itertools import combinations

import pytest

from bitwright.report.draw_names import draw_names
from bitwright.report.markup import Element

WIDE, HIGH, SIZE = 6.2, 12, 4.5


def names_of(points: list[tuple[str, float, float]]) -> list[Element]:
    """Return the names that are drawn of points between 0 and 1200."""
    return list(draw_names(points, SIZE, (0.0, 1200.0)))


def room(name: Element) -> tuple[float, float, float, float]:
    """Return left, right, top and bottom of a name."""
    start, wide = float(name.attrib["x"]), WIDE * len(name.text or "")
    left = start if name.attrib["text-anchor"] == "start" else start - wide
    bottom = float(name.attrib["y"]) + 2
    return left, left + wide, bottom - HIGH, bottom


@pytest.mark.parametrize("apart", [0.0, 3.0, 11.0, 60.0, 200.0])
def test_no_name_lies_on_another(apart: float) -> None:
    """Names of points close together leave one another room; as many stand as find some."""
    names = names_of([(f"candidate {number}", 60 + apart * number, 200.0) for number in range(6)])
    assert len(names) == 6 if apart >= 60 else 1 <= len(names) < 6
    for one, other in combinations(map(room, names), 2):
        assert one[1] <= other[0] or other[1] <= one[0] or one[3] <= other[2] or other[3] <= one[2]


def test_names_stay_within_the_figure() -> None:
    """A name at the right end stands to the left of its point."""
    (name,) = names_of([("a name of twenty one", 1190.0, 200.0)])
    assert room(name)[1] < 1190
