"""A cell library: what the netlist needs to know of its cells, from one Liberty file or several.

Units here are ps, fF, fJ, nW and um2, whatever the files have.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rtl.gates.boolean_function import names_in, truth_table
from rtl.gates.grid import Grid, mean, read_grid, upper
from rtl.gates.liberty import Group, LibertyFile
from sim.errors import InputError

__all__ = ["Arc", "Cell", "Library", "Output"]

EXPONENTS = {"f": -15, "p": -12, "n": -9, "u": -6, "m": -3, "": 0}
TABLES = ("cell_rise", "cell_fall", "rise_transition", "fall_transition")
GATE_PINS = ("clock_gate_clock_pin", "clock_gate_enable_pin", "clock_gate_out_pin")
SKIPPED_ARCS = ("clear", "preset", "three_state", "min_pulse")


@dataclass(frozen=True)
class Arc:
    """From an input to an output: delays and slews of its rising and falling [ps].

    `sense` is 1 where the output follows the input, -1 where it inverts it, 0 where it does either.
    """

    rise: Grid | None
    fall: Grid | None
    rise_slew: Grid | None
    fall_slew: Grid | None
    sense: int


@dataclass(frozen=True)
class Output:
    """An output pin.

    Attributes
    ----------
    pin : str
    table : uint8 array, shape (2**inputs,)
        Its value, or for a flip-flop its next value, for all values of the cell's `reads`.
    arcs : dict of str to Arc
        By input; of a flip-flop by its clock alone.
    energy : Grid or None
        Inside the cell, for one change of this pin: the mean over inputs and both directions [fJ].
    """

    pin: str
    table: NDArray[np.uint8]
    arcs: dict[str, Arc]
    energy: Grid | None


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes
    ----------
    name : str
    kind : {"gate", "flip_flop", "clock_gate", "other"}
        `other` cells cannot be simulated: latches, drivers of buses, fillers.
    area : float
        [um2].
    leakage_nw : float
        Mean over its states.
    loads : dict of str to float
        Capacitance of every input [fF].
    reads : tuple of str
        Inputs of its truth tables; of a flip-flop, its own outputs may be among them.
    outputs : tuple of Output
    clock : str
        Clock pin of a flip-flop or clock gate; "" of gates.
    enable : str
        Enable pin of a clock gate.
    pin_energy : dict of str to Grid
        Inside a flip-flop or clock gate, for one change of an input, and for both edges of the clock together while
        no output changes [fJ].
    clock_rise : Grid or None
        The part of the clock's energy that is spent at its rising edge; where an output changes with it, that output's
        energy holds it already [fJ].
    setup : Grid or None
        Time before the clock at which data must be there [ps].
    """

    name: str
    kind: str
    area: float
    leakage_nw: float
    loads: dict[str, float]
    reads: tuple[str, ...] = ()
    outputs: tuple[Output, ...] = ()
    clock: str = ""
    enable: str = ""
    pin_energy: dict[str, Grid] = field(default_factory=dict)
    clock_rise: Grid | None = None
    setup: Grid | None = None


class Library:
    """Cells of one or several files that belong together.

    Parameters
    ----------
    files : sequence of LibertyFile
        With equal units and voltage; of cells that occur twice, the first.

    Raises
    ------
    InputError
        If the files do not belong together.
    """

    def __init__(self, files: Sequence[LibertyFile]) -> None:
        if not files:
            raise InputError("a library needs at least one Liberty file")
        self.files = tuple(files)
        found = {}
        for file in files:
            found[file.name] = (self._unit(file, "capacitive_load_unit", "f"), self._unit(file, "time_unit", "p"),
                                self._unit(file, "leakage_power_unit", "n"), file.header.number("nom_voltage"))
        first, *others = found.items()
        for name, units in others:
            if units != first[1]:
                raise InputError(f"{name}: units and voltage must be those of {first[0]}")
        self.load_unit, self.time_unit, self.leakage_unit, self.voltage_v = first[1]
        self.energy_unit = self.load_unit
        if not self.voltage_v > 0:
            raise InputError(f"{first[0]}: nom_voltage must be above 0, not {self.voltage_v}")
        self._file_of: dict[str, LibertyFile] = {}
        for file in files:
            for cell in file.cells:
                self._file_of.setdefault(cell, file)
        self._read: dict[str, Cell] = {}

    @staticmethod
    def _unit(file: LibertyFile, name: str, prefix: str) -> float:
        """Return a unit of a file in units with a prefix."""
        text = file.header.text(name, {"leakage_power_unit": "1nW"}.get(name, ""))
        found = re.fullmatch(r"([\d.eE+-]+)\s*([fpnum]?)([FsW])", text.strip(), re.I)
        if not found:
            raise InputError(f"{file.name}: {name} must be a number and a unit, not '{text[:40]}'")
        return float(found[1]) * 10.0 ** (EXPONENTS[found[2].lower()] - EXPONENTS[prefix])

    @property
    def name(self) -> str:
        """Names of its files' libraries."""
        return ", ".join(file.header.arguments[0] for file in self.files)

    @property
    def corner(self) -> str:
        """Voltage and temperature."""
        return f"{self.voltage_v:g} V, {self.files[0].header.number('nom_temperature', 25.0):g} C"

    @property
    def digest(self) -> str:
        """Hash of all files."""
        return hashlib.sha256("".join(file.digest for file in self.files).encode()).hexdigest()[:16]

    @property
    def cells(self) -> tuple[str, ...]:
        """Names of all cells."""
        return tuple(self._file_of)

    def text_of(self, cell: str) -> str:
        """Return a cell as it stands in its file."""
        return self._file_of[cell].cell_text(cell)

    def group(self, cell: str) -> Group:
        """Return a cell as it is read from its file.

        Raises
        ------
        InputError
            If there is no such cell.
        """
        if cell not in self._file_of:
            raise InputError(f"the library {self.name} has no cell '{cell[:60]}'")
        return self._file_of[cell].cell(cell)

    def cell(self, name: str) -> Cell:
        """Return what is known of a cell.

        Raises
        ------
        InputError
            If there is no such cell, or a table or function of it cannot be read.
        """
        if name not in self._read:
            group = self.group(name)
            try:
                self._read[name] = self._cell(name, group)
            except (InputError, ValueError, IndexError) as error:
                raise InputError(f"{self._file_of[name].name}: cell {name}: {error}") from None
        return self._read[name]

    @cached_property
    def gate_area(self) -> float:
        """Area of the smallest NAND of two inputs, in which gate equivalents are counted [um2]."""
        return self.cell(self.smallest_nand).area

    @cached_property
    def smallest_nand(self) -> str:
        """Name of the smallest NAND of two inputs.

        Raises
        ------
        InputError
            If there is none.
        """
        found = [(self.group(name).number("area"), name) for name in self.cells if self._is_nand(name)]
        if not found:
            raise InputError(f"the library {self.name} has no NAND of two inputs")
        return min(found)[1]

    def _is_nand(self, name: str) -> bool:
        """Look at the text first, since reading all cells of a library would take long."""
        if len(re.findall(r"\bfunction\s*:", self.text_of(name))) != 1:
            return False
        functions = [pin.text("function") for pin in self.group(name).all("pin") if "function" in pin.values]
        inputs = names_in(functions[0]) if functions else ()
        return len(inputs) == 2 and truth_table(functions[0], inputs).tolist() == [1, 1, 1, 0] and all(
            not list(self.group(name).all(kind)) for kind in ("ff", "latch"))

    def _templates(self, cell: str) -> dict[str, Group]:
        header = self._file_of[cell].header
        return {group.arguments[0]: group for group in header.all("lu_table_template", "power_lut_template")}

    def _cell(self, name: str, group: Group) -> Cell:
        pins = {pin.arguments[0]: pin for pin in group.all("pin") if pin.arguments}
        loads = {pin: self._load(found) for pin, found in pins.items() if found.text("direction") == "input"}
        area, leakage = group.number("area"), self._leakage(group)
        plain = Cell(name, "other", area, leakage, loads)
        storage = [inner.kind for inner in group.all("ff", "latch", "statetable", "ff_bank", "latch_bank")]
        if "clock_gating_integrated_cell" in group.values:
            return self._clock_gate(plain, group, pins)
        if storage == ["ff"]:
            return self._flip_flop(plain, next(group.all("ff")), pins)
        outputs = {pin: found for pin, found in pins.items() if found.text("direction") == "output"}
        if storage or not outputs or any("function" not in found.values or "three_state" in found.values
                                         for found in outputs.values()):
            return plain
        reads = tuple(loads)
        return Cell(name, "gate", area, leakage, loads, reads, tuple(
            Output(pin, truth_table(found.text("function"), reads), self._arcs(name, found), self._energy(name, found))
            for pin, found in outputs.items()))

    def _flip_flop(self, plain: Cell, ff: Group, pins: dict[str, Group]) -> Cell:
        clock, state = ff.text("clocked_on").strip(), ff.arguments
        if clock not in plain.loads:
            return plain
        outputs = {pin: found for pin, found in pins.items() if found.text("direction") == "output"}
        shown = {found.text("function").strip(): pin for pin, found in outputs.items()}
        needed = [name for name in names_in(ff.text("next_state")) if name not in (*plain.loads, *state)]
        if needed or not set(shown) <= set(state):
            return plain
        next_state = ff.text("next_state")
        reads = names_in(next_state)
        own = [name for name in reads if name in state]
        if own and own[0] not in shown:
            return plain
        table = truth_table(next_state, reads)
        data = tuple(shown.get(name, name) for name in reads)
        idle = self._idle(ff)
        return replace(plain, kind="flip_flop", reads=data, clock=clock, outputs=tuple(
            Output(pin, table if function == state[0] else 1 - table, self._arcs(plain.name, pins[pin], clock),
                   self._energy(plain.name, pins[pin], clock)) for function, pin in shown.items()),
            pin_energy=self._pin_energies(plain, pins, clock, idle), setup=self._setup(plain.name, pins, data),
            clock_rise=mean(self._edges(plain, pins, clock, idle, clock)[0]))

    def _clock_gate(self, plain: Cell, group: Group, pins: dict[str, Group]) -> Cell:
        if not group.text("clock_gating_integrated_cell").startswith("latch_posedge"):
            return plain
        role = {attribute: pin for pin, found in pins.items()
                for attribute in GATE_PINS if attribute in found.values}
        if len(role) != 3:
            return plain
        clock, enable, out = role[GATE_PINS[0]], role[GATE_PINS[1]], role[GATE_PINS[2]]
        output = Output(out, np.array([0, 1], np.uint8), self._arcs(plain.name, pins[out], clock),
                        self._energy(plain.name, pins[out], clock))
        return replace(plain, kind="clock_gate", reads=(enable,), outputs=(output,), clock=clock, enable=enable,
                       pin_energy=self._pin_energies(plain, pins, clock, {}),
                       setup=self._setup(plain.name, pins, (enable,)))

    @staticmethod
    def _idle(ff: Group) -> dict[str, int]:
        """Return the values at which clear and preset do nothing."""
        idle = {}
        for name in ("clear", "preset"):
            for pin in names_in(ff.text(name)):
                idle[pin] = int(truth_table(ff.text(name), (pin,))[0]) if len(names_in(ff.text(name))) == 1 else 1
        return idle

    def _load(self, pin: Group) -> float:
        return pin.number("capacitance") * self.load_unit

    def _leakage(self, group: Group) -> float:
        """Return the leakage of a cell, else the mean of that of its states; what comes from ground is counted once."""
        if group.number("cell_leakage_power"):
            return group.number("cell_leakage_power") * self.leakage_unit
        found = [state.number("value") for state in group.all("leakage_power") if not self._of_ground(group, state)]
        return sum(found) / len(found) * self.leakage_unit if found else 0.0

    @staticmethod
    def _of_ground(cell: Group, group: Group) -> bool:
        """Tell whether a group is of a ground pin: the same charge as at the supply, seen where it leaves."""
        related = group.text("related_pg_pin")
        return any("ground" in pin.text("pg_type") for pin in cell.all("pg_pin") if pin.arguments == (related,))

    def _grid(self, cell: str, group: Group, unit: float) -> Grid:
        return read_grid(group, self._templates(cell), unit, self.time_unit, self.load_unit)

    def _arcs(self, cell: str, pin: Group, clock: str = "") -> dict[str, Arc]:
        """Return the arcs to an output, from the clock alone if there is one: at every point the slowest condition."""
        found: dict[str, list[Group]] = {}
        for timing in pin.all("timing"):
            for related in timing.text("related_pin").split():
                if not timing.text("timing_type").startswith(SKIPPED_ARCS) and (not clock or related == clock):
                    found.setdefault(related, []).append(timing)
        arcs = {}
        for related, timings in found.items():
            rise, fall, rise_slew, fall_slew = (upper([
                self._grid(cell, table, self.time_unit) for timing in timings for table in timing.all(kind)])
                for kind in TABLES)
            senses = {timing.text("timing_sense") for timing in timings}
            sense = {frozenset({"positive_unate"}): 1, frozenset({"negative_unate"}): -1}.get(frozenset(senses), 0)
            arcs[related] = Arc(rise, fall, rise_slew, fall_slew, sense)
        return arcs

    def _energy(self, cell: str, pin: Group, clock: str = "") -> Grid | None:
        """Return the mean energy inside for a change of an output."""
        return mean([self._grid(cell, table, self.energy_unit) for power in pin.all("internal_power")
                     if not self._of_ground(self.group(cell), power)
                     and (not clock or power.text("related_pin") in ("", clock))
                     for table in power.all("rise_power", "fall_power", "power")])

    def _pin_energies(self, plain: Cell, pins: dict[str, Group], clock: str, idle: dict[str, int]) -> dict[str, Grid]:
        """Return the energies of inputs: of one change, of both edges of the clock."""
        found = {}
        for pin in plain.loads:
            edges = [mean(edge) for edge in self._edges(plain, pins, pin, idle, clock)]
            total = mean([grid for grid in edges if grid is not None])
            if total is not None:
                found[pin] = Grid(total.slews, total.loads, total.values * 2) if pin == clock else total
        return found

    def _edges(self, plain: Cell, pins: dict[str, Group], pin: str, idle: dict[str, int],
               clock: str) -> list[list[Grid]]:
        """Return the energies of a rising and of a falling input, in states that occur while clear and preset rest.

        A clock's energy of 0 at an edge is that of a state whose output changes with it, which its own table charges.
        """
        powers = [power for power in pins[pin].all("internal_power")
                  if not self._of_ground(self.group(plain.name), power)]
        powers = [power for power in powers if "when" in power.values and self._occurs(power, idle)] or powers
        edges = [[self._grid(plain.name, table, self.energy_unit) for power in powers for table in power.all(kind)]
                 for kind in ("rise_power", "fall_power")]
        return [[grid for grid in edge if grid.values.any()] or edge if pin == clock else edge for edge in edges]

    @staticmethod
    def _occurs(power: Group, idle: dict[str, int]) -> bool:
        when = power.text("when")
        names = names_in(when)
        if len(names) > 8:
            return True
        index = np.arange(1 << len(names))
        fits = np.ones(len(index), np.bool_)
        for k, name in enumerate(names):
            if name in idle:
                fits &= (index >> k & 1) == idle[name]
        return bool((truth_table(when, names).astype(np.bool_) & fits).any())

    def _setup(self, cell: str, pins: dict[str, Group], data: Sequence[str]) -> Grid | None:
        """Return the largest setup time of data pins; axes are slews of the clock and of the data."""
        return upper([self._grid(cell, table, self.time_unit) for pin in data if pin in pins
                      for timing in pins[pin].all("timing") if timing.text("timing_type") == "setup_rising"
                      for table in timing.all("rise_constraint", "fall_constraint")])
