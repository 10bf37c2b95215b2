"""Technology tables: the energy of each event, its uncertainty and its source.

A table is a YAML file in the style of Accelergy's energy reference tables (ERT 0.4): every action has a `name` (an
event of `sim.energy.events`, or `cycles`) and an `energy` [pJ, unless `energy_unit` says otherwise]. Added to that are
the band `energy_lo`..`energy_hi`, the `basis` and the `source`, without which a row is refused, and the point `at`
which the energy holds, from which it is scaled to another machine. Energies lie in 0..1e9, all other quantities in
1e-9..1e9 of their units; a text has at most 10,000 characters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from sim.energy.events import PRICED
from sim.io.bounds import shown
from sim.io.yaml_model import built_in, load

__all__ = ["Point", "Price", "Technology", "builtin_technologies", "load_technology"]

NonNegative = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Positive = Annotated[float, Field(ge=1e-9, le=1e9, allow_inf_nan=False)]
Exponent = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000)]


ENERGIES = ("energy", "energy_lo", "energy_hi", "fixed")
"""Fields of a row that are in the table's unit."""


class _Fields(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Point(_Fields):
    """The conditions in which an energy holds, and how its part that is not fixed grows with them.

    It grows as (width / `width`)**width_exponent, as (capacity / `kib`)**exponent, and as cycle time.

    Attributes
    ----------
    width : float or None
        Width of what the event moves or clocks [bits]; None: the energy does not depend on it.
    width_exponent : float, 0..1
        1: proportional to the width. A memory spends a part of its energy whatever the width: there it is less.
    kib : float or None
        Capacity of the memory [KiB]; None: it does not depend on it.
    exponent : float, 0..1
        0.5 is the square-root law of memories; at 1 the energy of a bit would grow with the whole capacity.
    mhz : float or None
        Clock; the energy of a cycle that only leaks is inversely proportional to it. None: not.
    """

    width: Positive | None = None
    width_exponent: Exponent = 1.0
    kib: Positive | None = None
    exponent: Exponent = 0.5
    mhz: Positive | None = None


class Price(_Fields):
    """One row: the energy of one event [pJ], its band, and where the number comes from.

    Attributes
    ----------
    name : str
        Event.
    arguments : dict
        Empty; Accelergy expects the field.
    energy, energy_lo, energy_hi : float
        Nominal, lowest and highest [pJ].
    fixed : float
        Part of all three that no machine changes, at most `energy_lo` [pJ]; 0: all of it scales.
    at : Point
    basis : {"measured", "published", "inferred"}
        Measured: by the makers of the table. Published: seen in the source named. Inferred: computed from such.
    source : str
        Citation and derivation.
    """

    name: Text
    arguments: dict[str, Any] = {}
    energy: NonNegative
    energy_lo: NonNegative
    energy_hi: NonNegative
    fixed: NonNegative = 0.0
    at: Point = Point()
    basis: Literal["measured", "published", "inferred"]
    source: Text

    @model_validator(mode="after")
    def _check(self) -> Price:
        if self.name not in PRICED:
            raise ValueError(f"no event is called '{shown(self.name)}'; there are {', '.join(PRICED)}")
        if not self.energy_lo <= self.energy <= self.energy_hi:
            raise ValueError("energy must lie in its band energy_lo..energy_hi, "
                             f"not {self.energy} in {self.energy_lo}..{self.energy_hi}")
        if self.fixed > self.energy_lo:
            raise ValueError(f"fixed must be at most energy_lo = {self.energy_lo}, not {self.fixed}")
        if self.at.kib is not None and PRICED[self.name].memory is None:
            raise ValueError(f"at.kib is for events that touch a memory, not for {self.name}")
        return self


class _Table(_Fields):
    name: Text
    actions: tuple[Price, ...]


class _ReferenceTables(_Fields):
    version: Literal["0.4"]
    tables: tuple[_Table, ...]


class Technology(_Fields):
    """A whole table.

    Attributes
    ----------
    name : str
    node_nm, voltage_v : float
        What the energies hold for; other machines than such need a table of their own.
    energy_unit : {"fJ", "pJ", "nJ"}
        Of all energies in the file.
    note : str
        What a reader must know before trusting a total.
    ERT
        Tables of actions, as in Accelergy.

    Examples
    --------
    >>> load_technology("generic45").prices["pair_lanes"].energy
    0.006
    """

    name: Text
    node_nm: Positive
    voltage_v: Positive
    energy_unit: Literal["fJ", "pJ", "nJ"] = "pJ"
    note: Text
    ERT: _ReferenceTables

    @model_validator(mode="before")
    @classmethod
    def _refuse_areas(cls, data: Any) -> Any:
        if isinstance(data, dict) and "ART" in data:
            raise ValueError("areas have no use in a technology; remove its ART")
        return data

    @model_validator(mode="after")
    def _check(self) -> Technology:
        names = [action.name for table in self.ERT.tables for action in table.actions]
        for name in PRICED:
            if names.count(name) != 1:
                raise ValueError(f"event '{name}' must be priced once, not {names.count(name)} times")
        return self

    @property
    def prices(self) -> dict[str, Price]:
        """Return the rows by event, in pJ."""
        unit_pj = {"fJ": 1e-3, "pJ": 1.0, "nJ": 1e3}[self.energy_unit]
        return {action.name: action.model_copy(update={name: unit_pj * getattr(action, name) for name in ENERGIES})
                for table in self.ERT.tables for action in table.actions}

    @property
    def bases(self) -> dict[str, int]:
        """Return how many prices have which basis."""
        found = [price.basis for price in self.prices.values()]
        return {basis: found.count(basis) for basis in dict.fromkeys(sorted(found))}


def builtin_technologies() -> tuple[str, ...]:
    """Return the names of the tables that come with Bitwright."""
    return built_in("energy/technologies")


def load_technology(source: str | Path) -> Technology:
    """Read a built-in table by name, or a YAML file.

    Raises
    ------
    InputError
        If there is no such table, the file is not YAML, or a row is missing, unknown, unsourced or not in its band.
    """
    return load(Technology, "energy/technologies", source)
