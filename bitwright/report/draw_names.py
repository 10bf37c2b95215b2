"""Names beside the points of a figure, none on another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bitwright.report.frame import GLYPH, text
from bitwright.report.markup import Element

__all__ = ["draw_names"]

MOST_LETTERS = 28
APART, HEIGHT = 9.0, 12.0
"""Distance of a name from its point, and height of its letters."""
SIDES = ((1, -7.0), (1, 15.0), (-1, -7.0), (-1, 15.0))
"""Where a name may stand: to the right or left of its point, and how far below it."""


@dataclass(frozen=True)
class Box:
    """A piece of a figure."""

    left: float
    right: float
    top: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Return whether two pieces overlap."""
        return (self.left < other.right and other.left < self.right
                and self.top < other.bottom and other.top < self.bottom)


def draw_names(points: Sequence[tuple[str, float, float]], size: float,
               edges: tuple[float, float]) -> Iterator[Element]:
    """Yield the name of each point that has room for it beside its mark; the others say it when they are pointed at.

    Parameters
    ----------
    points : sequence of (name, x, y)
    size : float
        Half the width of a mark.
    edges : (float, float)
        Left and right end of the room for names.
    """
    taken = [Box(x - size, x + size, y - size, y + size) for _, x, y in points]
    for name, x, y in points:
        wide = GLYPH * min(len(name), MOST_LETTERS)
        for side, below in SIDES:
            start = x + side * APART
            left, right = sorted((start, start + side * wide))
            box = Box(left, right, y + below - HEIGHT + 2, y + below + 2)
            if edges[0] <= left and right <= edges[1] and not any(box.meets(other) for other in taken):
                taken.append(box)
                yield text(name, start, y + below, "start" if side > 0 else "end", most=MOST_LETTERS, font_size=11)
                break
