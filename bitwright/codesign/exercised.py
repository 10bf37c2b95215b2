"""What a Program has exercised of the hardware in a run, and what it has not: by its images, or by what it is."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.plan.plan import Plan
from sim.testing.coverage.bins import GROUPS
from sim.testing.coverage.coverage import Coverage
from sim.testing.coverage.op_view import op_views
from sim.testing.coverage.tally import Bin

__all__ = ["Exercised", "GroupCount", "exercised"]

LEFT_OUT = ("pads", "kernel", "row tiles", "row groups", "lane blocks", "tap groups", "chunks", "ties", "wraps",
            "clamps", "waiting", "bound", "Loads wait", "layers wait", "memory", "memory waits")
"""Groups of which every layer can have all, of its kind: edges of windows and tiles, values, stalls."""


@dataclass(frozen=True)
class GroupCount:
    """How many bins of a group there are, how many a run met, and how often it met any of them."""

    group: str
    bins: int
    met: int
    times: int


@dataclass(frozen=True)
class Exercised:
    """What a run has exercised.

    Attributes
    ----------
    groups : tuple of GroupCount
    unmet : tuple of str
        Situations that the ops could have met with other images.
    absent : tuple of str
        Situations that need other layers of the kinds that there are, another memory or an accumulator that wraps:
        sides without pads, tiles that are not short, values that cannot occur, stalls that did not happen.
    """

    groups: tuple[GroupCount, ...]
    unmet: tuple[str, ...]
    absent: tuple[str, ...]


def exercised(plan: Plan, codes: Mapping[str, NDArray[np.int32]]) -> Exercised:
    """Return what a run has exercised.

    Parameters
    ----------
    plan : Plan
    codes : mapping of str to int32 array, shape (N, channels, height, width)
        Of every tensor of `plan.program`.
    """
    coverage, views = Coverage(GROUPS), op_views(plan, codes)
    met = coverage.bins_of(plan, codes)
    coverage.add(met)
    unmet = coverage.unmet(plan, codes)
    here: dict[str, set[Hashable]] = {
        "kind": {view.kind for view in views}, "stream of": {type(view.op).__name__ for view in views},
        "rounding": {plan.program.arithmetic.rounding},
        "zero_point": {bool(view.source.format.zero_point) for view in views}}
    absent = [one for one in coverage.missing if one[0] in LEFT_OUT and one not in unmet
              and _is_of_kinds(coverage, one, here)]
    return Exercised(tuple(GroupCount(*row) for row in coverage.table()), tuple(map(coverage.text, unmet)),
                     tuple(map(coverage.text, absent)))


def _is_of_kinds(coverage: Coverage, one: Bin, here: Mapping[str, set[Hashable]]) -> bool:
    """Return whether a bin is about kinds of ops, roundings and zero points that a Program has."""
    name, values = one
    axes = coverage.group(name).axes
    return all(value in here[axis] for axis, value in zip(axes, values, strict=True) if axis in here)
