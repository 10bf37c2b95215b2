"""What reconstruction says of itself while it runs and in the end."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Moment", "UnitReport"]


@dataclass(frozen=True)
class UnitReport:
    """What became of a unit.

    Attributes
    ----------
    name : str
        Of its last stage.
    before, after : float
        Mean distance of its output from float, with rounding to nearest and in the end.
    fell_back : bool
        Whether nothing that was learnt was better than rounding to nearest, which it keeps.
    seconds : float
        That it took [s].
    """

    name: str
    before: float
    after: float
    fell_back: bool
    seconds: float


@dataclass(frozen=True)
class Moment:
    """Where reconstruction is.

    Attributes
    ----------
    unit : str
        Name of the unit that learns.
    number, units : int
        Which one it is, from 1, of how many.
    iteration, iterations : int
        How many of its iterations are done, of how many.
    seconds_left : float
        Estimate for all units together, from what the iterations so far took [s].
    """

    unit: str
    number: int
    units: int
    iteration: int
    iterations: int
    seconds_left: float
