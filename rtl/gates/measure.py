"""Run workloads on a netlist: what each component takes, with the proof that the netlist does what the machine does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl.encoding.program_image import program_image
from rtl.gates.circuit import Circuit
from rtl.gates.components import COMPONENTS, components
from rtl.gates.delays import Delays
from rtl.gates.energy import Costs
from rtl.gates.pins import GatePins, complete
from rtl.gates.simulation import Activity, GateSimulation
from rtl.gates.workload import Workload
from rtl.host.driver import Host, Run
from sim.arch.machine import Machine
from sim.energy.counting import total_events
from sim.energy.events import events_from_counters
from sim.errors import EngineError

__all__ = ["FREE", "Bench", "Measured"]

FREE = "free_clocks"
"""Component of the clocks that no gate stops."""


@dataclass(frozen=True)
class Measured:
    """What a workload took.

    Attributes
    ----------
    name : str
    cycles : int
    events : dict of str to int
    operand_reads : int
        Planes that operand registers showed.
    fj : dict of str to tuple of float
        By component [fJ]: all but the next two, wires, and the share of clocks that is the tree's. Clocks that no gate
        stops are a component of their own, `FREE`.
    """

    name: str
    cycles: int
    events: dict[str, int]
    operand_reads: int
    fj: dict[str, tuple[float, float, float]]

    def total(self, component: str, wires: float = 1.0, tree: float = 1.0) -> float:
        """Return the energy of a component with so many times the nominal wires and clock tree [fJ]."""
        rest, of_wires, of_tree = self.fj[component]
        return rest + wires * of_wires + tree * of_tree


class Bench:
    """A netlist of a machine's accelerator on which workloads run one after another.

    Parameters
    ----------
    machine : Machine
    circuit : Circuit
    """

    def __init__(self, machine: Machine, circuit: Circuit) -> None:
        self.machine, self.circuit = machine, circuit
        self.delays = Delays(circuit)
        self.costs = Costs(circuit, self.delays)
        self.simulation = GateSimulation(circuit, self.delays)
        self._pins = GatePins(self.simulation)
        self._component = components(circuit)
        self._words = [number for number, drive in enumerate(circuit.flip_flops)
                       if self._component[drive.index] == "operand_reads"]

    def run(self, name: str, work: Workload) -> Measured:
        """Run a workload.

        Raises
        ------
        EngineError
            If the netlist computes other codes, takes other cycles or counts other events than the simulator.
        """
        host = Host(self._pins, work.plan, program_image(work.plan))
        complete(host.load())
        self._pins.forget()
        result = complete(host.run(work.inputs))
        self._check(name, work, result)
        activity = self._pins.busy
        return Measured(name, activity.cycles, total_events(work.plan), self._operand_reads(activity),
                        self._by_component(activity))

    def _check(self, name: str, work: Workload, result: Run) -> None:
        for tensor, codes in result.maps.items():
            if not np.array_equal(codes, work.codes[tensor]):
                raise EngineError(f"{name}: the netlist computes other codes of {tensor} than the simulator")
        counted, expected = events_from_counters(result.counters, self.machine), total_events(work.plan)
        wrong = [event for event in expected if counted[event] != expected[event]]
        if wrong:
            raise EngineError(f"{name}: the netlist counts {counted[wrong[0]]} {wrong[0]}, not {expected[wrong[0]]}")
        cycles, predicted = result.counters["cycles"], work.plan.timeline.total
        if cycles != predicted:
            raise EngineError(f"{name}: the netlist takes {cycles} cycles, not {predicted}")

    def _operand_reads(self, activity: Activity) -> int:
        """Count the planes shown: cycles in which the clocks of their registers passed."""
        clocks = self.circuit.clocks[self._words]
        return int(activity.clocks[clocks].sum()) // max(1, self.machine.lanes)

    def _by_component(self, activity: Activity) -> dict[str, tuple[float, float, float]]:
        parts = self.costs.of(activity)
        rest, free = parts.switching + parts.internal + parts.clock - parts.free, parts.free > 0
        tree = np.where(free, 0.0, parts.tree)
        found = {name: (self._sum(rest, name), self._sum(parts.wires, name), self._sum(tree, name))
                 for name in COMPONENTS}
        return found | {FREE: (float(parts.free.sum()), 0.0, float(parts.tree[free].sum()))}

    def _sum(self, values: NDArray[np.float64], component: str) -> float:
        return float(values[self._component == component].sum())
