"""Area of a machine: that of its blocks of logic and of its memories, each with its band."""

from __future__ import annotations

from dataclasses import dataclass

from sim.arch.machine import Machine
from sim.energy.band import Band, sum_bands
from sim.energy.of_parts import areas_um2
from sim.energy.parts import BLOCKS
from sim.energy.technology import Technology
from sim.io.html_table import html_table

__all__ = ["AreaEstimate", "area"]

UM2_OF_MM2 = 1e6


@dataclass(frozen=True)
class AreaEstimate:
    """The area of a machine.

    Attributes
    ----------
    by_part : dict of str to Band
        Of `sim.energy.parts.PARTS`, all instances of each together [mm2].
    gate_um2 : float or None
        A gate equivalent [um2].
    """

    by_part: dict[str, Band]
    gate_um2: float | None

    def _repr_html_(self) -> str:
        bands = self.by_part | {"total": self.total_mm2}
        return html_table("area [mm2]", ["", "nominal", "low", "high"], (
            [name, band.nominal, band.low, band.high] for name, band in bands.items()))

    @property
    def logic_mm2(self) -> Band:
        """Area of the blocks [mm2]."""
        return sum_bands(band for name, band in self.by_part.items() if name in BLOCKS)

    @property
    def memory_mm2(self) -> Band:
        """Area of the memories [mm2]."""
        return sum_bands(band for name, band in self.by_part.items() if name not in BLOCKS)

    @property
    def total_mm2(self) -> Band:
        """Area of all [mm2]."""
        return sum_bands(self.by_part.values())

    def gate_equivalents(self, band: Band) -> Band | None:
        """Return how many NAND gates of two inputs take an area [mm2]; None if the technology does not say."""
        return None if self.gate_um2 is None else band.times(UM2_OF_MM2 / self.gate_um2)


def area(machine: Machine, technology: Technology) -> AreaEstimate:
    """Return the area of a machine.

    Cells and macros are added up; what placing, routing and pads take on top is not in it.

    Raises
    ------
    InputError
        If the technology has no areas.

    Examples
    --------
    >>> from sim.arch.machine import load_machine
    >>> from sim.energy.technology import load_technology
    >>> found = area(load_machine("edge"), load_technology("generic45"))
    >>> found.total_mm2.low < found.logic_mm2.nominal + found.memory_mm2.nominal < found.total_mm2.high
    True
    """
    found = areas_um2(machine, technology)
    return AreaEstimate({name: band.times(1 / UM2_OF_MM2) for name, band in found.items()}, technology.gate_um2)
