"""Arithmetic of rules that hold for one number and for arrays of them, entry by entry.

The rules of `sim.mapping.schedule` and `sim.energy.counting` are written for ints. With these in place of `max`, `min`
and `ceil` they also take int64 arrays that broadcast against each other as bits and heights, which is how a cost table
asks for all of its choices at once. Types say int, the meaning of every entry; `as_int` is where an array enters.
Counts in arrays are exact below 2**63.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["arrays", "as_int", "ceil_div", "choose", "larger", "smaller"]


def as_int(values: NDArray[np.int64]) -> int:
    """Return the same array, for a rule that is written for one of its entries."""
    return cast(int, values)


def ceil_div(a: int, b: int) -> int:
    """Return a / b, rounded up.

    >>> ceil_div(7, 2), ceil_div(np.array([6, 7]), 2)
    (4, array([3, 4]))
    """
    return -(-a // b)


def larger(a: int, b: int) -> int:
    """Return the larger of two numbers."""
    return max(a, b) if type(a) is type(b) is int else cast(int, np.maximum(a, b))


def smaller(a: int, b: int) -> int:
    """Return the smaller of two numbers."""
    return min(a, b) if type(a) is type(b) is int else cast(int, np.minimum(a, b))


def choose(condition: bool, a: int, b: int) -> int:
    """Return `a` where `condition` holds, `b` elsewhere."""
    if arrays(condition):
        return cast(int, np.where(condition, a, b))
    return a if condition else b


def arrays(*values: Any) -> bool:
    """Tell whether any of these is an array."""
    return any(isinstance(value, np.ndarray) for value in values)
