"""Which candidates are evaluated: all, or some that are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from bitwright.explore.candidate import Candidate, Evaluated
from bitwright.explore.legal import LegalMachines
from bitwright.explore.points import Points, shuffled
from sim.errors import InputError

__all__ = ["MAX_EXHAUSTIVE", "Drawn", "Search", "all_of", "some_of"]

MAX_EXHAUSTIVE = 1_000_000
"""Most points of an exhaustive search."""
DRAWS = 1000
"""Most points that are drawn for each candidate that is wanted, before the rest is taken for illegal."""


class Search(Protocol):
    """Candidates in generations, each of which may depend on what came of those before it."""

    @property
    def total(self) -> int:
        """How many candidates there are at most, as far as is known."""

    def generations(self) -> Iterator[Iterable[Candidate]]:
        """Yield generations, whose candidates are drawn as they are needed; each candidate is in one of them."""

    def learn(self, results: Sequence[Evaluated]) -> None:
        """Take what came of some candidates of the last generation, in order."""


class Drawn:
    """Candidates that do not depend on results.

    Attributes
    ----------
    total : int
        What is left of the points when those without a machine are taken away; of `count` at most.
    """

    def __init__(self, points: Points, legal: LegalMachines, numbers: Iterable[int], count: int) -> None:
        self._points, self._legal, self._numbers, self._count = points, legal, numbers, count
        self._left = len(points)

    @property
    def total(self) -> int:
        """How many candidates there are at most, as far as is known."""
        return min(self._count, self._left)

    def generations(self) -> Iterator[Iterable[Candidate]]:
        """Yield all candidates as one generation."""
        yield self._candidates()

    def _candidates(self) -> Iterator[Candidate]:
        found = 0
        for number in self._numbers:
            candidate = self._legal.candidate(number, self._points[number])
            if candidate is None:
                self._left -= 1
                continue
            found += 1
            yield candidate
            if found == self._count:
                return
        self._count = found

    def learn(self, results: Sequence[Evaluated]) -> None:
        """Learn nothing."""


def all_of(points: Points, legal: LegalMachines) -> Drawn:
    """Return all candidates, in order.

    Raises
    ------
    InputError
        If the space has more than MAX_EXHAUSTIVE points.
    """
    if len(points) > MAX_EXHAUSTIVE:
        raise InputError(f"an exhaustive search takes at most {MAX_EXHAUSTIVE:,} points, not {len(points):,}: search "
                         "with method random, nsga2 or tpe")
    return Drawn(points, legal, range(len(points)), len(points))


def some_of(points: Points, legal: LegalMachines, count: int, seed: int) -> Drawn:
    """Return candidates that are drawn without repetition; fewer than `count` where the space has no more."""
    numbers = (number for number, _ in zip(shuffled(len(points), seed), range(DRAWS * count), strict=False))
    return Drawn(points, legal, numbers, count)
