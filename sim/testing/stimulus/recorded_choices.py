"""Record decisions, replay them, and make them simpler as long as a case still fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from sim.testing.stimulus.choices import Choices

__all__ = ["RecordedChoices", "shrink"]

T = TypeVar("T")

LARGEST_CHUNK = 32
"""Decisions that are dropped or made simplest together, at first."""


class RecordedChoices(Choices):
    """Decisions that are read from a list, and after its end made by another source, or the simplest ones.

    Parameters
    ----------
    base : Choices or None
    decisions : sequence of int
        0 is the simplest of each; one that is too large is the largest that is possible.

    Attributes
    ----------
    decisions : list of int
        Everything decided so far.

    Examples
    --------
    >>> choices = RecordedChoices(None, [2, 9])
    >>> choices.integer("bits", 1, 8), choices.choice("kind", "abc"), choices.integer("bits", 1, 8)
    (3, 'c', 1)
    >>> choices.decisions
    [2, 2, 0]
    """

    def __init__(self, base: Choices | None, decisions: Sequence[int] = ()) -> None:
        self.base, self.decisions = base, list[int]()
        self._replayed = decisions

    def begin_layer(self) -> None:
        """Begin the next layer of a Program."""
        super().begin_layer()
        if self.base is not None:
            self.base.begin_layer()

    def integer(self, name: str, low: int, high: int) -> int:
        """Return a number in low..high."""
        return low + self._decide(high - low, lambda base: base.integer(name, low, high) - low)

    def choice(self, name: str, options: Sequence[T]) -> T:
        """Return one of `options`."""
        return options[self._decide(len(options) - 1, lambda base: options.index(base.choice(name, options)))]

    def chance(self, name: str, probability: float) -> bool:
        """Return True with the given probability; False is simpler."""
        return bool(self._decide(1, lambda base: int(base.chance(name, probability))))

    def _decide(self, most: int, ask: Callable[[Choices], int]) -> int:
        if len(self.decisions) < len(self._replayed):
            decision = min(self._replayed[len(self.decisions)], most)
        else:
            decision = ask(self.base) if self.base is not None else 0
        self.decisions.append(decision)
        return decision


def shrink(decisions: Sequence[int], try_out: Callable[[Sequence[int]], Sequence[int] | None],
           attempts: int) -> Sequence[int]:
    """Drop and lower decisions while what follows from them still fails.

    Parameters
    ----------
    decisions : sequence of int
        Of a case that fails.
    try_out : function of decisions to decisions or None
        The decisions that were used, if the case fails; None if not.
    attempts : int
        At most so many calls.

    Examples
    --------
    Something that fails when the sum is at least 7:

    >>> shrink([4, 4, 4], lambda decisions: decisions if sum(decisions) >= 7 else None, 100)
    [3, 4]
    """
    best, tried = list(decisions), {tuple(decisions)}
    improved = True
    while improved:
        improved = False
        for simpler in _simpler(best):
            if tuple(simpler) in tried:
                continue
            if attempts == 0:
                return best
            attempts -= 1
            tried.add(tuple(simpler))
            used = try_out(simpler)
            if used is not None and (len(used), sum(used)) < (len(best), sum(best)):
                best, improved = list(used), True
                break
    return best


def _simpler(decisions: Sequence[int]) -> Iterator[list[int]]:
    """Simpler decisions, boldest first: chunks dropped or made simplest, then single ones lowered."""
    size = LARGEST_CHUNK
    while size:
        for start in range(0, len(decisions), size):
            before, chunk, after = decisions[:start], decisions[start : start + size], decisions[start + size :]
            yield [*before, *after]
            if any(chunk):
                yield [*before, *[0] * len(chunk), *after]
        size //= 2
    for index, decision in enumerate(decisions):
        for lower in (decision // 2, decision - 1):
            if 0 < lower < decision:
                yield [*decisions[:index], lower, *decisions[index + 1 :]]
