"""What candidates are compared by, and which end of a band is meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, inf

from sim.errors import InputError
from sim.io.bounds import shown

__all__ = ["ENDS", "FIGURES", "FLOORS", "Bands", "Figure", "together"]

ENDS = ("low", "nominal", "high")
FIGURES = {
    "latency_cycles": "cycles of one image", "latency_ms": "time of one image [ms]",
    "fps": "images per second, one after another", "energy_mj": "energy of one image [mJ]",
    "power_mw": "mean power while images follow each other [mW]", "edp_mj_ms": "energy-delay product [mJ ms]",
    "weight_bytes": "weights as streamed [bytes]", "loss": "expected loss by the sensitivities [nats]",
    "area_mm2": "area of the machine [mm2]"}
"""Figures by name, with their meaning."""
FLOORS = ("fps",)
"""Figures of which more is better."""
OF_MACHINE = ("area_mm2",)
BANDED = ("energy_mj", "power_mw", "edp_mj_ms", "area_mm2")
"""Figures that are not exact, but rest on prices and sizes with bands."""

Bands = Mapping[str, Sequence[float | None]]
"""Figures by name: their low, nominal and high ends; those that are not known are None."""


@dataclass(frozen=True)
class Figure:
    """A figure and the end of its band that counts."""

    name: str
    end: str

    def __str__(self) -> str:
        return f"{self.name}.{self.end}" if self.name in BANDED else self.name

    @classmethod
    def parse(cls, text: str, default: str) -> Figure:
        """Read `NAME` or `NAME.END`.

        Raises
        ------
        InputError
            If there is no such figure or end.

        Examples
        --------
        >>> print(Figure.parse("energy_mj", "high"), Figure.parse("energy_mj.nominal", "high"))
        energy_mj.high energy_mj.nominal
        """
        name, _, end = text.partition(".")
        if name not in FIGURES or (end or default) not in ENDS or text.endswith("."):
            raise InputError(f"a figure is one of {', '.join(FIGURES)}, with .low, .nominal or .high after it where "
                             f"that end of its band is meant, not '{shown(text)}'")
        return cls(name, (end or default) if name in BANDED else "nominal")

    def of(self, bands: Bands) -> float | None:
        """Return the value in some figures; None if it is not there."""
        return bands[self.name][ENDS.index(self.end)] if self.name in bands else None

    def worst(self, values: Iterable[float]) -> float:
        """Return the value that is nearest to a limit, or furthest beyond it."""
        return min(values) if self.name in FLOORS else max(values)

    def excess(self, value: float, limit: float) -> float:
        """Return how many times a value is beyond a limit; at most 1 if the limit holds."""
        if self.name in FLOORS:
            return limit / value if value else inf
        return value / limit

    def breaks(self, value: float, limit: float) -> bool:
        """Return whether a value is beyond a limit."""
        return value < limit if self.name in FLOORS else value > limit


def together(networks: Sequence[Bands], machine: Bands) -> dict[str, list[float | None]]:
    """Return the figures of one image of every network, one after another, on one machine.

    Times, energies, bytes and losses add up, and the energy-delay product is that of the sums; the power is the
    highest, and the images per second are the fewest.

    Examples
    --------
    >>> one = {"latency_ms": [2.0] * 3, "energy_mj": [1.0, 2.0, 4.0], "power_mw": [500.0, 1000.0, 2000.0],
    ...        "edp_mj_ms": [2.0, 4.0, 8.0]}
    >>> together([one, one], {})["edp_mj_ms"]
    [8.0, 16.0, 32.0]
    """
    found: dict[str, list[float | None]] = {name: [*ends] for name, ends in machine.items()}
    for name in networks[0]:
        if name in OF_MACHINE or name == "edp_mj_ms" or not all(name in one for one in networks):
            continue
        ends = [[one[name][index] for one in networks] for index in range(len(ENDS))]
        found[name] = [_joined(name, [value for value in values if value is not None])
                       if None not in values else None for values in ends]
    energies, times = found.get("energy_mj"), found.get("latency_ms")
    if energies and times:
        found["edp_mj_ms"] = [None if a is None or b is None else a * b for a, b in zip(energies, times, strict=True)]
    return found


def _joined(name: str, values: Sequence[float]) -> float:
    if name == "power_mw":
        return max(values)
    return min(values) if name in FLOORS else fsum(values)
