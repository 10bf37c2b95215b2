"""`Quantity`: a number that follows from the machine, with its formula for readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sim.arch.machine import Machine

__all__ = ["ONE", "Quantity"]


@dataclass(frozen=True)
class Quantity:
    """A number that follows from the machine.

    Attributes
    ----------
    formula : str
        The number in terms of the machine's parameters, for readers.
    of : callable
        Computes the number for a `Machine`.
    """

    formula: str
    of: Callable[[Machine], int]


ONE = Quantity("1", lambda machine: 1)
