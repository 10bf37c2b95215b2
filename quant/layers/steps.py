"""How far windows go from place to place."""

from __future__ import annotations

from collections.abc import Sequence

from sim.ir.ops import Steps

__all__ = ["steps_of"]


def steps_of(given: Sequence[int], counts: Sequence[int], neither: int) -> Steps:
    """Return the steps of a window along both axes.

    Along an axis with one place the step means nothing: it is that of the other axis, or `neither` where both have one.

    Parameters
    ----------
    given : (vertical, horizontal)
    counts : (vertical, horizontal)
        Places along both axes; what is not known counts as several.
    neither : int

    Examples
    --------
    >>> steps_of((2, 1), (5, 4), 1), steps_of((2, 1), (1, 4), 1), steps_of((2, 3), (1, 1), 1)
    ((2, 1), (1, 1), (1, 1))
    """
    several = [step for step, count in zip(given, counts, strict=True) if count != 1] or [neither]
    return several[0], several[-1]
