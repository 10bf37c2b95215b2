"""A candidate, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bitwright.explore.expression import Value
from bitwright.explore.figures import FLOORS, Bands, Figure, together
from bitwright.explore.points import Point
from bitwright.explore.space import Space
from sim.arch.machine import Machine

__all__ = ["BEYOND", "REFUSED", "WITHIN", "Candidate", "Evaluated", "NetworkResult"]

WITHIN, BEYOND, REFUSED = "within", "beyond", "refused"
"""The limits hold; they do not; the machine cannot run a network, or no bits keep the budgets."""


@dataclass(frozen=True)
class Candidate:
    """A legal point of a space.

    Attributes
    ----------
    number : int
        Of the point.
    point : Point
    machine : Machine
    parameters : dict of str to number
        What the space gives the machine.
    """

    number: int
    point: Point
    machine: Machine
    parameters: dict[str, Value]


@dataclass(frozen=True)
class NetworkResult:
    """What a network costs on the machine of a candidate.

    Attributes
    ----------
    figures : dict of str to bands
    bits : dict of str to (int, int), or None
        Those that were allocated to its layers; None if they were given.
    """

    figures: Bands
    bits: Mapping[str, Sequence[int]] | None


@dataclass(frozen=True)
class Evaluated:
    """A candidate with its figures.

    Attributes
    ----------
    candidate : Candidate
    networks : dict of str to NetworkResult
        By name; empty if it was refused.
    machine : dict of str to bands
        Figures of the machine alone.
    figures : dict of str to bands
        Of one image of every network, one after another; empty if it was refused.
    reason : str
        The first limit that does not hold, or why it was refused; empty if all is well.
    """

    candidate: Candidate
    networks: Mapping[str, NetworkResult]
    machine: Bands
    figures: Bands
    reason: str

    @classmethod
    def of(cls, candidate: Candidate, result: Mapping[str, Any], space: Space) -> Evaluated:
        """Read what `bitwright.explore.evaluate.evaluate` returned for a candidate."""
        if "refused" in result:
            return cls(candidate, {}, {}, {}, result["refused"])
        networks = {network.label: NetworkResult(**one)
                    for network, one in zip(space.networks, result["networks"], strict=True)}
        figures = together([one.figures for one in networks.values()], result["area"])
        found = cls(candidate, networks, result["area"], figures, "")
        return replace(found, reason=next(found._broken(space.bounds), ""))

    @property
    def status(self) -> str:
        """WITHIN, BEYOND or REFUSED."""
        return REFUSED if not self.figures else BEYOND if self.reason else WITHIN

    def objectives(self, wanted: Sequence[Figure]) -> tuple[float, ...]:
        """Return the values of figures of all networks together; it must not have been refused."""
        values = [figure.of(self.figures) for figure in wanted]
        return tuple(value for value in values if value is not None)

    def each(self, figure: Figure) -> dict[str, float]:
        """Return a figure of every network by its name, or of the machine under an empty one."""
        bands = {"": self.machine} | {name: one.figures for name, one in self.networks.items()}
        return {name: value for name, one in bands.items() if (value := figure.of(one)) is not None}

    def excess(self, bounds: Mapping[Figure, float]) -> float:
        """Return how many times the worst figure is beyond its limit; at most 1 if all limits hold."""
        return max((figure.excess(value, limit) for figure, limit in bounds.items()
                    for value in self.each(figure).values()), default=0.0)

    def _broken(self, bounds: Mapping[Figure, float]) -> Iterator[str]:
        for figure, limit in bounds.items():
            for name, value in self.each(figure).items():
                if figure.breaks(value, limit):
                    beyond = "below" if figure.name in FLOORS else "above"
                    yield f"{figure}{f' of {name}' if name else ''} is {value:.6g}, {beyond} {limit:.6g}"
