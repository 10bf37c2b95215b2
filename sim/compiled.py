"""How the numeric loops of `sim` are compiled: once, cached beside the source, without holding the GIL.

Numba keys its cache by the file of the compiled function alone. So no compiled function calls one of another file:
an edit would leave old machine code in the caller's cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

__all__ = ["compiled"]

P = ParamSpec("P")
T = TypeVar("T")


def compiled(function: Callable[P, T]) -> Callable[P, T]:
    """Compile `function` to machine code at its first call."""
    return cast("Callable[P, T]", njit(function, cache=True, nogil=True))
