"""Which rows of a tensor in the host's memory hold codes, in as much memory as there are Stores."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

__all__ = ["Rows"]


class Rows:
    """Rows of the parts of a tensor that hold codes: for every part ranges that do not touch each other.

    >>> rows = Rows(parts=1, height=8)
    >>> rows.add(0, range(2, 4)), rows.add(0, range(4, 6)), rows.add(0, range(5, 7))
    (None, None, 5)
    >>> rows.missing(0, range(3, 6)), rows.missing(0, range(3, 8)), rows.first_missing()
    (None, 6, (0, 0))
    """

    def __init__(self, parts: int, height: int) -> None:
        self.parts, self._height = range(parts), height
        self._starts: dict[int, list[int]] = {}
        self._stops: dict[int, list[int]] = {}

    def add(self, part: int, rows: range) -> int | None:
        """Add rows, unless one is there already: the first such, and nothing is added."""
        starts, stops = self._starts.setdefault(part, []), self._stops.setdefault(part, [])
        after = bisect_right(stops, rows.start)
        if after < len(starts) and starts[after] < rows.stop:
            return max(starts[after], rows.start)
        before = after - 1
        joins_before = before >= 0 and stops[before] == rows.start
        joins_after = after < len(starts) and starts[after] == rows.stop
        if joins_before and joins_after:
            stops[before] = stops.pop(after)
            del starts[after]
        elif joins_before:
            stops[before] = rows.stop
        elif joins_after:
            starts[after] = rows.start
        else:
            starts.insert(after, rows.start)
            stops.insert(after, rows.stop)
        return None

    def missing(self, part: int, rows: range) -> int | None:
        """Return the first of some rows that holds no codes, None if all do."""
        starts, stops = self._starts.get(part, []), self._stops.get(part, [])
        index = bisect_left(stops, rows.start + 1)
        if index == len(starts) or starts[index] > rows.start:
            return rows.start
        return stops[index] if stops[index] < rows.stop else None

    def first_missing(self) -> tuple[int, int] | None:
        """Return (part, row) of the first row without codes, None if there is none."""
        for part in self.parts:
            row = self.missing(part, range(self._height))
            if row is not None:
                return part, row
        return None
