"""Gate-level simulation of a circuit, with delays: every change of every net, glitches included, is counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl.gates.circuit import CLOCK, Circuit
from rtl.gates.delays import Delays
from rtl.gates.event_loop import NOTHING, run_cycle, settle

__all__ = ["Activity", "GateSimulation"]

Ints = NDArray[np.int64]
TICKS_PER_GATE = 32
"""Steps of time in the mean delay of a gate."""


@dataclass(frozen=True)
class Activity:
    """What was counted.

    Attributes
    ----------
    cycles : int
    toggles : int64 array, shape (nets,)
        Changes of each net.
    clocks : int64 array, shape (clocks,)
        Cycles in which each clock passed.
    accesses : int64 array, shape (memories, 2)
        Reads and writes of each memory.
    """

    cycles: int
    toggles: Ints
    clocks: Ints
    accesses: Ints

    def __sub__(self, other: Activity) -> Activity:
        return Activity(self.cycles - other.cycles, self.toggles - other.toggles, self.clocks - other.clocks,
                        self.accesses - other.accesses)

    def __add__(self, other: Activity) -> Activity:
        return Activity(self.cycles + other.cycles, self.toggles + other.toggles, self.clocks + other.clocks,
                        self.accesses + other.accesses)


class GateSimulation:
    """A circuit that runs. All registers and memories start with zeros.

    Parameters
    ----------
    circuit : Circuit
    delays : Delays

    Attributes
    ----------
    settled_ps : float
        The latest change after a clock edge so far.
    """

    def __init__(self, circuit: Circuit, delays: Delays) -> None:
        self.circuit = circuit
        self.settled_ps = 0.0
        self._cycles = 0
        drivers, nets = len(circuit.out), circuit.netlist.nets
        gate_ps = delays.ps[:len(circuit.gates)]
        mean_ps = float(gate_ps.mean()) if gate_ps.size else 1.0
        self.tick_ps = mean_ps / TICKS_PER_GATE or 1.0
        ticks = np.maximum(1, np.rint(delays.ps / self.tick_ps)).astype(np.int64)
        self._rise, self._fall = np.ascontiguousarray(ticks[:, 0]), np.ascontiguousarray(ticks[:, 1])
        self._value = np.zeros(nets, np.uint8)
        self._value[1] = 1
        self._toggles = np.zeros(nets, np.int64)
        table_at, tables = circuit.tables
        clocks = len(circuit.enables)
        self._passing, self._passed = np.zeros(clocks, np.uint8), np.zeros(clocks, np.int64)
        self._memories, self._memory_nets, self._contents = _memories(circuit)
        self._accesses = np.zeros((len(self._memories), 2), np.int64)
        self._pins = np.zeros(len(circuit.input_nets), np.uint8)
        self._first_input = drivers - len(circuit.input_nets)
        self._wheel = _wheel(drivers, int(ticks.max()) if ticks.size else 1)
        logic = circuit.inputs.start, circuit.inputs.items, table_at, tables
        self._shape = (circuit.out, self._rise, self._fall, *logic, circuit.readers.start, circuit.readers.items,
                       circuit.clocks, circuit.enables, circuit.parents)
        self._places = _places(circuit)
        settle(delays.order, self._value, circuit.out, *logic)

    def drive(self, **values: int) -> None:
        """Set inputs of the design for the cycle that the next step begins."""
        for name, value in values.items():
            for bit, place in enumerate(self._places[name]):
                self._pins[place] = value >> bit & 1

    def step(self, cycles: int = 1) -> None:
        """Let the clock rise so many times."""
        for _ in range(cycles):
            ticks = run_cycle(self._value, self._toggles, *self._shape, self._passing, self._passed, self._memories,
                              self._memory_nets, self._contents, self._accesses, self._first_input, self._pins,
                              *self._wheel)
            self.settled_ps = max(self.settled_ps, ticks * self.tick_ps)
            self._cycles += 1

    def read(self, name: str) -> int:
        """Return the value of a port of the design."""
        ports = self.circuit.netlist.outputs
        nets = ports[name] if name in ports else self.circuit.netlist.inputs[name]
        return sum(int(self._value[net]) << bit for bit, net in enumerate(nets))

    @property
    def activity(self) -> Activity:
        """What has been counted so far."""
        return Activity(self._cycles, self._toggles.copy(), self._passed.copy(), self._accesses.copy())


def _places(circuit: Circuit) -> dict[str, range]:
    """Return where the bits of each input are among all inputs."""
    places, at = {}, 0
    for name, nets in circuit.netlist.inputs.items():
        if name != CLOCK:
            places[name] = range(at, at + len(nets))
            at += len(nets)
    return places


def _wheel(drivers: int, longest: int) -> tuple[Ints, Ints, Ints, Ints, NDArray[np.uint8]]:
    head = np.full(1 << (longest + 1).bit_length(), NOTHING, np.int64)
    after, before, due = (np.full(drivers, NOTHING, np.int64) for _ in range(3))
    return head, after, before, due, np.zeros(drivers, np.uint8)


def _memories(circuit: Circuit) -> tuple[Ints, Ints, NDArray[np.uint8]]:
    """Return the arrays about memories that `run_cycle` takes."""
    rows: list[tuple[int, ...]] = []
    nets: list[int] = []
    bits = 0
    driver = len(circuit.computed)
    for memory in circuit.netlist.memories:
        ports, parameters = memory.ports, memory.parameters
        width, words = len(ports["rdata"]), parameters["DEPTH"]
        rows.append((width, words, width // len(ports["wmask"]), parameters.get("TRANSPARENT", 0), len(ports["raddr"]),
                     bits, len(nets), driver))
        for port in ("wen", "ren", "wmask", "waddr", "raddr", "wdata"):
            nets += ports[port]
        bits += width * words
        driver += width
    return (np.array(rows, np.int64).reshape(-1, 8), np.array(nets, np.int64), np.zeros(bits, np.uint8))
