"""Count which situations of declared groups were met, and which might have been.

A group is a cross of axes; each combination of their values is a bin, unless a reason is given why it cannot happen.
A bin counts what happened in a run, not what an op is declared to do, such as to wrap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Generic, TypeVar

from sim.testing.coverage.layer_view import LayerView

__all__ = ["Bin", "Group", "Tally", "Values"]

V = TypeVar("V", bound=LayerView)
In = TypeVar("In", bound=LayerView, contravariant=True)

Values = tuple[Hashable, ...]
"""A value for each axis of a group."""
Bin = tuple[str, Values]
"""The name of a group and a combination of its values."""


def _never(values: Values) -> str | None:
    return None


@dataclass(frozen=True, eq=False)
class Group(Generic[In]):
    """A cross of axes.

    Attributes
    ----------
    name : str
    axes : mapping of str to values
    sample : function of a view of an op to combinations of values
        What an op has met; combinations that are not declared are of no interest.
    declared : function of a view of an op to combinations of values, or None
        What it might have met with other codes, or with another memory; None: what it meets follows from its shape.
    impossible : function of a combination to a reason or None
        Why it cannot happen.
    """

    name: str
    axes: Mapping[str, Sequence[Hashable]]
    sample: Callable[[In], Iterable[Values]]
    impossible: Callable[[Values], str | None] = _never
    declared: Callable[[In], Iterable[Values]] | None = None

    @property
    def bins(self) -> Iterator[Values]:
        """All combinations that can happen."""
        return (values for values in product(*self.axes.values()) if self.impossible(values) is None)

    @property
    def excluded(self) -> Iterator[tuple[Values, str]]:
        """Combinations that cannot happen, each with its reason."""
        for values in product(*self.axes.values()):
            reason = self.impossible(values)
            if reason is not None:
                yield values, reason

    def text(self, values: Values) -> str:
        """Describe a bin for people."""
        return f"{self.name}: " + ", ".join(f"{axis} {value}" for axis, value in zip(self.axes, values, strict=True))


class Tally(Generic[V]):
    """Counts of how often each bin of some groups was met.

    Parameters
    ----------
    groups : sequence of Group
    """

    def __init__(self, groups: Sequence[Group[V]]) -> None:
        self.groups = groups
        self._counts: Counter[Bin] = Counter()
        self._declared: frozenset[Bin] = frozenset((group.name, values) for group in groups for values in group.bins)
        self._excluded = {(group.name, values): reason for group in groups for values, reason in group.excluded}

    def met_by(self, views: Iterable[V]) -> Counter[Bin]:
        """Count how often ops in a run meet each of the declared bins.

        Raises
        ------
        ValueError
            If they meet one that was said to be impossible.
        """
        met: Counter[Bin] = Counter()
        for view in views:
            for group in self.groups:
                met.update((group.name, values) for values in group.sample(view))
        for found in met.keys() & self._excluded.keys():
            raise ValueError(f"{self.text(found)} was met, but was declared impossible: {self._excluded[found]}")
        return Counter({found: count for found, count in met.items() if found in self._declared})

    def unmet_by(self, views: Sequence[V]) -> list[Bin]:
        """Return the bins that ops can meet with the right codes and have not met in a run, as declared."""
        might = {(group.name, values) for group in self.groups if group.declared is not None
                 for view in views for values in group.declared(view)}
        open_bins = (might & self._declared) - self.met_by(views).keys()
        return [(group.name, values) for group in self.groups for values in group.bins
                if (group.name, values) in open_bins]

    def add(self, met: Mapping[Bin, int]) -> None:
        """Count bins that were met."""
        self._counts.update(met)

    @property
    def declared(self) -> int:
        """Number of bins."""
        return len(self._declared)

    @property
    def covered(self) -> int:
        """Number of bins that were met."""
        return len(self._counts)

    @property
    def percent(self) -> float:
        """Part of the bins that was met [%]."""
        return 100 * self.covered / self.declared

    @property
    def missing(self) -> list[Bin]:
        """Bins that were not met, in the order of declaration."""
        return [(group.name, values) for group in self.groups for values in group.bins
                if (group.name, values) not in self._counts]

    @property
    def excluded(self) -> dict[Bin, str]:
        """Combinations that cannot happen and why."""
        return dict(self._excluded)

    def group(self, name: str) -> Group[V]:
        """Return the group of that name."""
        return next(group for group in self.groups if group.name == name)

    def text(self, found: Bin) -> str:
        """Describe a bin for people."""
        return self.group(found[0]).text(found[1])

    def table(self) -> list[tuple[str, int, int, int]]:
        """Return (group, bins, met, how often in all) of every group."""
        rows = []
        for group in self.groups:
            counts = [self._counts[group.name, values] for values in group.bins]
            rows.append((group.name, len(counts), sum(map(bool, counts)), sum(counts)))
        return rows

    @property
    def counts(self) -> dict[str, int]:
        """Counts of how often each bin was met, by its text."""
        return {self.text(found): count for found, count in self._counts.items()}

    def add_counts(self, counts: Mapping[str, int]) -> None:
        """Add the `counts` of another run; bins that are not declared here are dropped."""
        by_text = {self.text(found): found for found in self._declared}
        self.add({by_text[text]: count for text, count in counts.items() if text in by_text})
