"""Rows of a technology: a number with its band, the point at which it holds, and where it comes from.

A row is scaled from that point to a machine:

    fixed + (number - fixed) * (width / at.width)**at.width_exponent * (capacity / at.kib)**at.exponent
                             * (at.mhz / clock_mhz)

Numbers lie in 0..1e9, all other quantities in 1e-9..1e9 of their units; a text has at most 10,000 characters.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from sim.energy.band import Band
from sim.energy.events import PRICED
from sim.energy.parts import ANY_MEMORY, BLOCKS, PARTS
from sim.io.bounds import shown

__all__ = ["Activation", "Area", "Fields", "Idle", "Leakage", "Number", "Point", "Positive", "Price", "Row", "Sourced",
           "Text"]

Number = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Positive = Annotated[float, Field(ge=1e-9, le=1e9, allow_inf_nan=False)]
Exponent = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.001, le=1, allow_inf_nan=False)]
PortFactor = Annotated[float, Field(ge=1, le=10, allow_inf_nan=False)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000)]
Basis = Literal["measured", "published", "inferred"]


class Fields(BaseModel):
    """What all parts of a description have in common: nothing is converted, changed or ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Point(Fields):
    """The conditions in which a number holds, and how its part that is not fixed grows with them.

    Attributes
    ----------
    width : float or None
        Width of what an event moves or clocks, of a block, or of a memory's word [bits]; None: nothing depends on it.
    width_exponent : float, 0..1
        1: proportional to the width. A memory spends a part of its energy whatever the width: there it is less.
    kib : float or None
        Capacity of the memory [KiB]; None: it does not depend on it.
    exponent : float, 0..1
        Of the capacity. 0.5 is the square-root law of energies; areas are nearly proportional to it.
    mhz : float or None
        Clock; the energy of a cycle that only leaks is inversely proportional to it. None: not.
    toggles : float, 0.001..1
        Share of the event's data bits that change from one event to the next, where its energy depends on that.
    """

    width: Positive | None = None
    width_exponent: Exponent = 1.0
    kib: Positive | None = None
    exponent: Exponent = 0.5
    mhz: Positive | None = None
    toggles: Share = 0.25

    def factor(self, width: float, kib: float | None, clock_mhz: float) -> float:
        """Return by what a number grows from this point to a width, a capacity and a clock."""
        factor = 1.0
        if self.width is not None:
            factor *= (width / self.width) ** self.width_exponent
        if self.kib is not None and kib is not None:
            factor *= (kib / self.kib) ** self.exponent
        if self.mhz is not None:
            factor *= self.mhz / clock_mhz
        return factor


class Sourced(Fields):
    """A number with its band, and where it comes from. `quantity` names the field that has it, in derived classes.

    Attributes
    ----------
    basis : {"measured", "published", "inferred"}
        Measured: by the makers of the table. Published: seen in the source named. Inferred: computed from such.
    source : str
        Citation and derivation.
    """

    quantity: ClassVar[str]

    basis: Basis
    source: Text

    @property
    def band(self) -> Band:
        """The number as it stands in the file."""
        return Band(getattr(self, f"{self.quantity}_lo"), getattr(self, self.quantity),
                    getattr(self, f"{self.quantity}_hi"))

    def in_units(self, factor: float) -> Self:
        """Return the same in another unit."""
        return self.model_copy(update={name: factor * getattr(self, name) for name in self._numbers()})

    def widened(self, factor: float) -> Self:
        """Return the same with both ends of the band so much further away."""
        low, high = f"{self.quantity}_lo", f"{self.quantity}_hi"
        return self.model_copy(update={low: getattr(self, low) / factor, high: getattr(self, high) * factor})

    def _numbers(self) -> tuple[str, ...]:
        return f"{self.quantity}_lo", self.quantity, f"{self.quantity}_hi"

    @model_validator(mode="after")
    def _check_band(self) -> Self:
        band, name = self.band, self.quantity
        if not band.low <= band.nominal <= band.high:
            raise ValueError(f"{name} must lie in its band {name}_lo..{name}_hi, "
                             f"not {band.nominal} in {band.low}..{band.high}")
        return self


class Row(Sourced):
    """A named number that is scaled to machines.

    Attributes
    ----------
    name : str
    fixed : float
        Part of the number and of both ends of its band that no machine changes; 0: all of it scales.
    at : Point
    """

    name: Text
    fixed: Number = 0.0
    at: Point = Point()

    def _numbers(self) -> tuple[str, ...]:
        return *super()._numbers(), "fixed"

    def widened(self, factor: float) -> Self:
        """Return the same with both ends of the band so much further away, and as much less of it fixed."""
        return super().widened(factor).model_copy(update={"fixed": self.fixed / factor})

    @model_validator(mode="after")
    def _check_fixed(self) -> Self:
        if self.fixed > self.band.low:
            raise ValueError(f"fixed must be at most {self.quantity}_lo = {self.band.low}, not {self.fixed}")
        return self

    def at_machine(self, width: float, kib: float | None, clock_mhz: float, data_factor: float = 1.0) -> Band:
        """Return the number on a machine; `data_factor` is one more by which its part that is not fixed grows."""
        factor, fixed, band = self.at.factor(width, kib, clock_mhz) * data_factor, self.fixed, self.band
        return Band(fixed + (band.low - fixed) * factor, fixed + (band.nominal - fixed) * factor,
                    fixed + (band.high - fixed) * factor)


class Price(Row):
    """The energy of one event.

    Attributes
    ----------
    name : str
        Event of `sim.energy.events`, or `cycles`.
    arguments : dict
        Empty; Accelergy expects the field.
    energy, energy_lo, energy_hi : float
        Nominal, lowest and highest, where `at.toggles` of the data's bits change.
    by_toggles : float
        What `energy` grows by from data that never changes to data that always does: it is
        energy + by_toggles * (toggles - at.toggles), and the ends of its band grow in proportion.
    """

    quantity = "energy"

    arguments: dict[str, Any] = {}
    energy: Number
    energy_lo: Number
    energy_hi: Number
    by_toggles: Number = 0.0

    def _numbers(self) -> tuple[str, ...]:
        return *super()._numbers(), "by_toggles"

    @model_validator(mode="after")
    def _check_event(self) -> Self:
        if self.name not in PRICED:
            raise ValueError(f"no event is called '{shown(self.name)}'; there are {', '.join(PRICED)}")
        event = PRICED[self.name]
        if self.at.kib is not None and event.memory is None:
            raise ValueError(f"at.kib is for events that touch a memory, not for {self.name}")
        if self.by_toggles and event.data is None:
            raise ValueError(f"by_toggles is for {', '.join(name for name, one in PRICED.items() if one.data)}, "
                             f"not for {self.name}")
        most = self.energy - self.fixed
        if self.by_toggles * self.at.toggles > most:
            raise ValueError(f"by_toggles * at.toggles must be at most energy - fixed = {most}, so that no data has "
                             f"negative energy, not {self.by_toggles} * {self.at.toggles}")
        return self

    def data_factor(self, toggles: float) -> float:
        """Return by what the part that is not fixed grows where so large a share of the data's bits changes."""
        scaled = self.energy - self.fixed
        return 1.0 + self.by_toggles * (toggles - self.at.toggles) / scaled if scaled else 1.0


class OfPart(Row):
    """A number of a part of the machine."""

    @model_validator(mode="after")
    def _check_part(self) -> Self:
        if self.name not in (*PARTS, ANY_MEMORY):
            raise ValueError(f"no part is called '{shown(self.name)}'; there are {', '.join(PARTS)}, {ANY_MEMORY}")
        if self.name in BLOCKS and self.at.kib is not None:
            raise ValueError(f"at.kib is for memories, not for {self.name}")
        return self


class Area(OfPart):
    """The area of a block, or of one memory.

    Attributes
    ----------
    name : str
        Part of `sim.energy.parts`.
    area, area_lo, area_hi : float
        With one port, if it is of a memory.
    second_port : float, 1..10
        What a memory that is read and written in the same cycle takes more than one with a single port.
    """

    quantity = "area"

    area: Number
    area_lo: Number
    area_hi: Number
    second_port: PortFactor = 1.0


class Leakage(OfPart):
    """The power that a block, or one memory, takes while it stands still.

    Attributes
    ----------
    name : str
        Part of `sim.energy.parts`.
    power, power_lo, power_hi : float
    """

    quantity = "power"

    power: Number
    power_lo: Number
    power_hi: Number


class Activation(Sourced):
    """The energy of opening and closing a row of the host's memory."""

    quantity = "energy"

    energy: Number
    energy_lo: Number
    energy_hi: Number


class Idle(Sourced):
    """The power of the host's memory while nothing is transferred: background and refresh."""

    quantity = "power"

    power: Number
    power_lo: Number
    power_hi: Number
