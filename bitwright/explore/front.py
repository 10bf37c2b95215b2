"""The Pareto front: what nothing else is better than."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["pareto_front"]


def pareto_front(values: Sequence[Sequence[float]]) -> list[int]:
    """Return the indices of rows that no other row dominates, from the smallest first value on.

    A row dominates another that is nowhere smaller and somewhere larger. Of equal rows the first stands for all.

    Examples
    --------
    >>> pareto_front([(3, 1), (1, 3), (2, 2), (2, 3), (1, 3)])
    [1, 2, 0]
    """
    rows = np.array(values, np.float64)
    kept, front = np.empty_like(rows), list[int]()
    for index in sorted(range(len(rows)), key=lambda i: (*rows[i], i)):
        if not (kept[:len(front)] <= rows[index]).all(axis=1).any():
            kept[len(front)] = rows[index]
            front.append(index)
    return front
