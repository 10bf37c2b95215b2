"""Energy of what a simulation counted, cell by cell: switching, inside cells, clocks, and leakage.

An energy is known as two numbers: what does not depend on the wires, and what a wire load of the nominal size adds. So
a band over wire loads needs no second simulation; delays keep the nominal wires.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtl.gates.circuit import Circuit, Drive
from rtl.gates.delays import Delays
from rtl.gates.grid import Grid
from rtl.gates.library import Cell
from rtl.gates.simulation import Activity

__all__ = ["CLOCK_TREE", "Costs", "Parts"]

Floats = NDArray[np.float64]
CLOCK_TREE = 0.3
"""Buffers and wires of the clock, as a share of what its pins take: there is no clock tree in a mapped netlist."""


class Parts(NamedTuple):
    """Energies of all instances, shape (instances,) each [fJ].

    `switching` and `wires` charge the nets that an instance drives, `internal` is inside it, `clock` what its clock pin
    and the inside of it take, `tree` what buffers and wires of the clock are taken to need for it.
    `free` is what the pins of clocks that no gate stops take in every cycle; it is a part of `clock`.
    """

    switching: Floats
    wires: Floats
    internal: Floats
    clock: Floats
    tree: Floats
    free: Floats


@dataclass(frozen=True)
class Costs:
    """What a change costs, for every net and cell of a circuit."""

    circuit: Circuit
    delays: Delays

    def of(self, activity: Activity) -> Parts:
        """Return the energies of instances; what drives memories' and the design's nets from outside is no one's."""
        circuit = self.circuit
        switching, wires, internal, clock, tree = (np.zeros(len(circuit.cells)) for _ in range(5))
        half = 0.5 * circuit.library.voltage_v**2
        for number, drive in enumerate(circuit.computed):
            net = circuit.out[number]
            changes = activity.toggles[net]
            switching[drive.index] += half * circuit.pin_loads[net] * changes
            wires[drive.index] += half * circuit.wire_loads[net] * changes
            internal[drive.index] += self.delays.energy_fj[number] * changes
        slews = self.delays.slew_ps
        for drive in circuit.flip_flops:
            passed = activity.clocks[circuit.clock_of(drive)]
            changes = activity.toggles[drive.instance.pins[drive.output.pin]]
            if drive.output is drive.cell.outputs[0]:
                clock[drive.index] = (passed * (self._pin_fj(drive.cell) + self._inside_fj(drive.cell))
                                      - changes * self._at(drive.cell.clock_rise, self.delays.clock_slew_ps))
                tree[drive.index] = passed * CLOCK_TREE * self._pin_fj(drive.cell)
        for drive in (*circuit.flip_flops, *circuit.gaters):
            for pin in set(drive.cell.pin_energy) & set(drive.cell.reads):
                net = drive.instance.pins.get(pin, 0)
                internal[drive.index] += activity.toggles[net] * self._at(drive.cell.pin_energy[pin], slews[net])
        for number, drive in enumerate(circuit.gaters, 1):
            arrived, passed = activity.clocks[circuit.parents[number]], activity.clocks[number]
            clock[drive.index] = (arrived * self._pin_fj(drive.cell) + (arrived - passed) * self._inside_fj(drive.cell)
                                  + 2 * passed * self._output_fj(drive))
            tree[drive.index] = arrived * CLOCK_TREE * self._pin_fj(drive.cell)
        return Parts(switching, wires, internal, clock, tree, self._free * activity.cycles)

    @cached_property
    def _free(self) -> Floats:
        """What the clocks that no gate stops take in a cycle, by instance, without their tree [fJ]."""
        found = np.zeros(len(self.circuit.cells))
        for drive in (*self.circuit.flip_flops, *self.circuit.gaters):
            if self.circuit.clock_of(drive) == 0:
                found[drive.index] = self._pin_fj(drive.cell) + self._inside_fj(drive.cell)
        return found

    @property
    def leakage_nw(self) -> Floats:
        """Leakage of every instance."""
        return np.array([cell.leakage_nw for cell in self.circuit.cells])

    @property
    def area(self) -> Floats:
        """Area of every instance [um2]."""
        return np.array([cell.area for cell in self.circuit.cells])

    def _pin_fj(self, cell: Cell) -> float:
        """Return what the load of a clock pin takes in a cycle."""
        return (cell.loads[cell.clock] + self.circuit.wire_ff) * self.circuit.library.voltage_v**2

    def _inside_fj(self, cell: Cell) -> float:
        """Return what both edges of the clock take inside a cell of which no output changes."""
        return self._at(cell.pin_energy.get(cell.clock), self.delays.clock_slew_ps)

    def _output_fj(self, drive: Drive) -> float:
        load = float(self.delays.loads[drive.instance.pins[drive.output.pin]])
        return self._at(drive.output.energy, self.delays.clock_slew_ps, load)

    @staticmethod
    def _at(grid: Grid | None, slew: float, load: float = 0.0) -> float:
        return 0.0 if grid is None else float(grid.on(np.array([slew]), np.array([load]))[0, 0])
