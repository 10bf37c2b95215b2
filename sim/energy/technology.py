"""Technology files: energies of events, areas and leakage of parts, and the host's memory, each with band and source.

A file is YAML, a superset of Accelergy's reference tables 0.4 of energies (ERT) and areas (ART). Every row of
`sim.energy.rows` has a band, a `basis` and a `source`, without which it is refused, and the point `at` which it holds,
from which it is scaled to another machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, model_validator

from sim.energy.events import HOST_MEMORY, PRICED
from sim.energy.parts import ANY_MEMORY, BLOCKS, PARTS
from sim.energy.rows import Activation, Area, Fields, Idle, Leakage, Positive, Price, Sourced, Text
from sim.energy.scaling import HIGHEST_V, LOWEST_V, NODES, area_factor, energy_factor, spread
from sim.errors import InputError
from sim.hardware.memories import MEMORIES
from sim.io.yaml_model import built_in, load

__all__ = ["HostMemory", "Technology", "builtin_technologies", "load_technology"]

Bits = Annotated[int, Field(ge=1, le=1 << 24)]
Kind = TypeVar("Kind", Area, Leakage)
Scaled = TypeVar("Scaled", bound=Sourced)

PJ = {"fJ": 1e-3, "pJ": 1.0, "nJ": 1e3}
UM2 = {"um2": 1.0, "mm2": 1e6}
UW = {"nW": 1e-3, "uW": 1.0, "mW": 1e3}


class _Table(Fields):
    name: Text
    actions: tuple[Price, ...]


class _EnergyTables(Fields):
    version: Literal["0.4"]
    tables: tuple[_Table, ...]


class _AreaTables(Fields):
    version: Literal["0.4"]
    tables: tuple[Area, ...]

    @model_validator(mode="after")
    def _check(self) -> _AreaTables:
        _check_parts(self.tables, "area")
        return self


class HostMemory(Fields):
    """What the host's memory takes beside the energy of every bit that is transferred.

    Streams read rows from end to end, so that a bit shares the energy of opening its row with all others of the row;
    at the high end of the band every burst opens a row.

    Attributes
    ----------
    row_bits, burst_bits : int, 1..2**24
        Bits of an open row, and of the least that is transferred at once.
    activation : Activation
    idle : Idle
    """

    row_bits: Bits
    burst_bits: Bits
    activation: Activation
    idle: Idle

    @model_validator(mode="after")
    def _check(self) -> HostMemory:
        if self.burst_bits > self.row_bits:
            raise ValueError(f"burst_bits must be at most row_bits = {self.row_bits}, not {self.burst_bits}")
        return self


class Gate(Fields):
    """A NAND gate of two inputs, in which areas are counted as gate equivalents."""

    area: Positive
    source: Text


class LongestPath(Fields):
    """The longest way of a signal from a register through gates to the next one, which bounds the clock.

    Attributes
    ----------
    delay_ns : float, above 0
    block : str
        Of `sim.energy.parts.BLOCKS`: where it ends.
    source : str
    """

    delay_ns: Positive
    block: Text
    source: Text

    @model_validator(mode="after")
    def _check(self) -> LongestPath:
        if self.block not in BLOCKS:
            raise ValueError(f"block must be one of {', '.join(BLOCKS)}, not '{self.block}'")
        return self


class Reference(Fields):
    """The node and voltage at which rows hold, if it is not that of their technology."""

    node_nm: Positive
    voltage_v: Positive

    @model_validator(mode="after")
    def _check(self) -> Reference:
        _check_scalable(self.node_nm, self.voltage_v)
        return self


class Technology(Fields):
    """A whole file.

    Attributes
    ----------
    name : str
    node_nm, voltage_v : float
        What prices, areas and leakage are for.
    rows_hold_at : Reference or None
        Where the rows hold, from which all but the host's memory is scaled to this node and voltage; None: here.
    energy_unit : {"fJ", "pJ", "nJ"}
    area_unit : {"um2", "mm2"}
    power_unit : {"nW", "uW", "mW"}
        Of all energies, areas and powers in the file.
    note : str
        What a reader must know before trusting a total.
    ERT
        Tables of energies of events, as in Accelergy; every event has one row.
    ART
        Areas of the parts of a machine, as in Accelergy; every part has one row, or the row `memories`.
    leakage : tuple of Leakage
        Powers of the parts, by the same rule; none: leakage is in the energy of `cycles`, or left out.
    host_memory : HostMemory or None
        None: a bit costs what its row says, and nothing else does.
    gate : Gate or None
    longest_path : LongestPath or None
        At the node and voltage where rows hold; None: unknown.

    Examples
    --------
    >>> load_technology("generic45").prices["pair_lanes"].energy
    0.006
    """

    name: Text
    node_nm: Positive
    voltage_v: Positive
    rows_hold_at: Reference | None = None
    energy_unit: Literal["fJ", "pJ", "nJ"] = "pJ"
    area_unit: Literal["um2", "mm2"] = "um2"
    power_unit: Literal["nW", "uW", "mW"] = "uW"
    note: Text
    ERT: _EnergyTables
    ART: _AreaTables | None = None
    leakage: tuple[Leakage, ...] = ()
    host_memory: HostMemory | None = None
    gate: Gate | None = None
    longest_path: LongestPath | None = None

    @model_validator(mode="after")
    def _check(self) -> Technology:
        names = Counter(action.name for table in self.ERT.tables for action in table.actions)
        for name in PRICED:
            if names[name] != 1:
                raise ValueError(f"event '{name}' must be priced once, not {names[name]} times")
        if self.rows_hold_at:
            _check_scalable(self.node_nm, self.voltage_v)
        if self.leakage:
            _check_parts(self.leakage, "power")
        return self

    @cached_property
    def prices(self) -> dict[str, Price]:
        """Return the energies by event, in pJ."""
        found = {action.name: action.in_units(PJ[self.energy_unit])
                 for table in self.ERT.tables for action in table.actions}
        return {name: row if PRICED[name].component == HOST_MEMORY else self._scaled(row, self._energy_factor)
                for name, row in found.items()}

    @cached_property
    def areas(self) -> dict[str, Area]:
        """Return the areas by part, in um2.

        Raises
        ------
        InputError
            If the file has none.
        """
        if self.ART is None:
            raise InputError(f"technology '{self.name}' has no areas; an ART would hold them")
        return _by_part([self._scaled(row.in_units(UM2[self.area_unit]), self._area_factor)
                         for row in self.ART.tables])

    @cached_property
    def leakages(self) -> dict[str, Leakage]:
        """Return the powers by part, in uW; empty if the file has none."""
        return _by_part([self._scaled(row.in_units(UW[self.power_unit]), self._energy_factor)
                         for row in self.leakage])

    @cached_property
    def row_activation(self) -> Activation | None:
        """Return the energy of opening a row of the host's memory, in pJ."""
        return None if self.host_memory is None else self.host_memory.activation.in_units(PJ[self.energy_unit])

    @cached_property
    def memory_idle(self) -> Idle | None:
        """Return the power of the host's memory at rest, in uW."""
        return None if self.host_memory is None else self.host_memory.idle.in_units(UW[self.power_unit])

    @property
    def gate_um2(self) -> float | None:
        """Return the area of a gate equivalent [um2]."""
        return None if self.gate is None else self.gate.area * UM2[self.area_unit] * self._area_factor

    @property
    def highest_clock_mhz(self) -> float | None:
        """Return the clock that the longest path allows [MHz]; None if unknown, as delays of scaled rows are."""
        at = self.rows_hold_at or self
        scaled = (at.node_nm, at.voltage_v) != (self.node_nm, self.voltage_v)
        return None if self.longest_path is None or scaled else 1e3 / self.longest_path.delay_ns

    @property
    def _energy_factor(self) -> float:
        at = self.rows_hold_at
        return energy_factor(at.node_nm, at.voltage_v, self.node_nm, self.voltage_v) if at else 1.0

    @property
    def _area_factor(self) -> float:
        return area_factor(self.rows_hold_at.node_nm, self.node_nm) if self.rows_hold_at else 1.0

    def _scaled(self, row: Scaled, factor: float) -> Scaled:
        if self.rows_hold_at is None:
            return row
        return row.in_units(factor).widened(spread(self.rows_hold_at.node_nm, self.node_nm))

    @property
    def bases(self) -> dict[str, int]:
        """Return how many rows have which basis."""
        rows: list[Sourced] = [*self.prices.values(), *(self.ART.tables if self.ART else ()), *self.leakage]
        if self.host_memory:
            rows += [self.host_memory.activation, self.host_memory.idle]
        return dict(sorted(Counter(row.basis for row in rows).items()))


def _check_scalable(node_nm: float, voltage_v: float) -> None:
    """Refuse nodes and voltages for which there are no equations."""
    if node_nm not in NODES:
        raise ValueError(f"node_nm must be one of {', '.join(map(str, NODES))} to be scaled, not {node_nm:g}")
    if not LOWEST_V <= voltage_v <= HIGHEST_V:
        raise ValueError(f"voltage_v must be in {LOWEST_V}..{HIGHEST_V} to be scaled, not {voltage_v:g}")


def _check_parts(rows: Sequence[Area | Leakage], quantity: str) -> None:
    """Refuse rows unless there is one for every part."""
    names = Counter(row.name for row in rows)
    for part in PARTS:
        if names[part] > 1 or not (names[part] or (part in MEMORIES and names[ANY_MEMORY] == 1)):
            raise ValueError(f"part '{part}' must have one {quantity}, not {names[part]}")


def _by_part(rows: Iterable[Kind]) -> dict[str, Kind]:
    """Return rows by part; memories without a row of their own have that of all memories."""
    by_name = {row.name: row for row in rows}
    return {part: by_name.get(part, by_name[ANY_MEMORY]) if part in MEMORIES and ANY_MEMORY in by_name
            else by_name[part] for part in PARTS if by_name}


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
