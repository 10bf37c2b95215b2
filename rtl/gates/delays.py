"""Static timing: when each net has settled at the latest, how steep its edges are, and the delay of every gate.

Clocks arrive everywhere at once with edges of one slew; inputs of the design come with the clock. Slews and arrival
times are those of the worst input, as is usual. Delays for the simulation are the mean over a gate's inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtl.gates.circuit import Circuit, Drive
from rtl.gates.grid import Grid
from sim.errors import InputError
from sim.jit.compiled_loop import compiled

__all__ = ["Delays", "Path"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
RISE, FALL = 0, 1
NO_GRID = -1


class Path(NamedTuple):
    """The longest path to a block: its delay with setup [ps], where it begins, and where it ends."""

    ps: float
    start: str
    end: str


class _Bank:
    """Tables one after another in one array, each with the lengths of its axes."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.shapes: list[tuple[int, int]] = []
        self.parts: list[Floats] = []
        self._known: dict[int, int] = {}
        self._kept: list[Grid] = []
        self._length = 0

    def add(self, grid: Grid | None) -> int:
        """Return the number of a table."""
        if grid is None:
            return NO_GRID
        if id(grid) not in self._known:
            self._known[id(grid)] = len(self.starts)
            self._kept.append(grid)
            self.starts.append(self._length)
            self.shapes.append((len(grid.slews), len(grid.loads)))
            self.parts.append(np.concatenate([grid.slews, grid.loads, grid.values.ravel()]))
            self._length += len(self.parts[-1])
        return self._known[id(grid)]

    @property
    def arrays(self) -> tuple[Ints, Ints, Floats]:
        """Where tables begin, their shapes, and their numbers."""
        return (np.array(self.starts, np.int64), np.array(self.shapes, np.int64).reshape(-1, 2),
                np.concatenate(self.parts) if self.parts else np.zeros(0))


@dataclass(frozen=True)
class _Arrays:
    arrival: Floats
    slew: Floats
    delay: Floats
    energy: Floats
    cause: Ints


class Delays:
    """Delays of a circuit.

    Parameters
    ----------
    circuit : Circuit
    clock_slew_ps : float or None
        None: the third point of the axis of a flip-flop's delays.
    """

    def __init__(self, circuit: Circuit, clock_slew_ps: float | None = None) -> None:
        self.circuit = circuit
        self.clock_slew_ps = self._usual_slew() if clock_slew_ps is None else clock_slew_ps
        self.loads = circuit.pin_loads + circuit.wire_loads
        self._bank = _Bank()

    def _usual_slew(self) -> float:
        for drive in self.circuit.flip_flops:
            for arc in drive.output.arcs.values():
                if arc.rise is not None:
                    return float(arc.rise.slews[min(2, len(arc.rise.slews) - 1)])
        return 0.0

    @cached_property
    def _found(self) -> _Arrays:
        circuit, nets = self.circuit, self.circuit.netlist.nets
        drives = circuit.computed
        arcs = [[self._arc(drive, pin) for pin in drive.cell.reads] if number < len(circuit.gates) else
                [self._arc(drive, drive.cell.clock)] for number, drive in enumerate(drives)]
        flat = np.array([arc for one in arcs for arc in one], np.int64).reshape(-1, 5)
        starts = np.cumsum([0, *(len(one) for one in arcs)]).astype(np.int64)
        sources = np.array([drive.instance.pins.get(pin, 0) for drive in circuit.gates for pin in drive.cell.reads],
                           np.int64)
        energy_tables = np.array([self._bank.add(drive.output.energy) for drive in drives], np.int64)
        arrival, slew = np.zeros((nets, 2)), np.zeros((nets, 2))
        slew[:] = self.clock_slew_ps
        delay, energy = np.zeros((len(circuit.out), 2)), np.zeros(len(circuit.out))
        cause = np.full(nets, -1, np.int64)
        _propagate(self._order, len(circuit.gates), circuit.out, starts, sources, flat, energy_tables,
                   *self._bank.arrays, self.loads, self.clock_slew_ps, arrival, slew, delay, energy, cause)
        reads = np.arange(len(drives), len(drives) + len(circuit.read_bits))
        delay[reads] = self.memory_ps
        arrival[circuit.out[reads]] = self.memory_ps
        return _Arrays(arrival, slew, delay, energy, cause)

    def _arc(self, drive: Drive, pin: str) -> tuple[int, int, int, int, int]:
        arc = drive.output.arcs.get(pin)
        if arc is None:
            return NO_GRID, NO_GRID, NO_GRID, NO_GRID, 0
        return (self._bank.add(arc.rise), self._bank.add(arc.fall), self._bank.add(arc.rise_slew),
                self._bank.add(arc.fall_slew), arc.sense)

    @property
    def order(self) -> Ints:
        """Gates, each after those that feed it."""
        return self._order[len(self.circuit.flip_flops):]

    @cached_property
    def _order(self) -> Ints:
        """Return flip-flops, then gates so that each comes after those that feed it."""
        circuit, gates = self.circuit, len(self.circuit.gates)
        order = np.zeros(len(circuit.computed), np.int64)
        inputs, readers = circuit.inputs, circuit.readers
        driven = np.zeros(circuit.netlist.nets, np.uint8)
        driven[circuit.out[:gates]] = 1
        count = _sort(gates, inputs.start, inputs.items, readers.start, readers.items, circuit.out, driven, order)
        if count != len(order):
            raise InputError(f"the netlist has a loop of gates: {len(order) - count} gates have no order")
        return order

    @property
    def memory_ps(self) -> float:
        """Time from the clock until a memory shows what it reads: taken to be that of a flip-flop and two gates."""
        return 3.0 * self.clock_slew_ps

    @property
    def ps(self) -> Floats:
        """Delays of all drivers, shape (drivers, 2): rising and falling; those of inputs are 0."""
        return self._found.delay

    @property
    def energy_fj(self) -> Floats:
        """Energy inside a gate or flip-flop for one change of its output, by driver."""
        return self._found.energy

    @property
    def arrival_ps(self) -> Floats:
        """Latest time at which each net has settled."""
        return np.asarray(self._found.arrival.max(1))

    @property
    def slew_ps(self) -> Floats:
        """Mean slew of each net."""
        return np.asarray(self._found.slew.mean(1))

    def start_of(self, net: int) -> int:
        """Return the net at which the longest path to a net begins."""
        cause = self._found.cause
        while cause[net] >= 0:
            net = int(cause[net])
        return net


@compiled
def _sort(gates: int, starts: Ints, items: Ints, reader_starts: Ints, readers: Ints, out: Ints,
          driven: NDArray[np.uint8], order: Ints) -> int:
    """Fill `order`, flip-flops first; return how many drivers have a place."""
    waits = np.zeros(gates, np.int64)
    count = 0
    for driver in range(gates, len(order)):
        order[count] = driver
        count += 1
    first = count
    for gate in range(gates):
        for k in range(starts[gate], starts[gate + 1]):
            seen = False
            for j in range(starts[gate], k):
                seen = seen or items[j] == items[k]
            if driven[items[k]] and not seen:
                waits[gate] += 1
        if waits[gate] == 0:
            order[count] = gate
            count += 1
    at = first
    while at < count:
        net = out[order[at]]
        at += 1
        for k in range(reader_starts[net], reader_starts[net + 1]):
            waits[readers[k]] -= 1
            if waits[readers[k]] == 0:
                order[count] = readers[k]
                count += 1
    return count


@compiled
def _look_up(number: int, starts: Ints, shapes: Ints, numbers: Floats, slew: float, load: float) -> float:
    """Return the value of a table, between its points linearly; loads go on beyond the last one, slews do not."""
    start, rows, columns = starts[number], shapes[number, 0], shapes[number, 1]
    slew = min(max(slew, numbers[start]), numbers[start + rows - 1])
    row, down = 0, 0.0
    if rows > 1:
        while row < rows - 2 and numbers[start + row + 1] <= slew:
            row += 1
        down = (slew - numbers[start + row]) / (numbers[start + row + 1] - numbers[start + row])
    axis = start + rows
    load = max(load, numbers[axis])
    column, across = 0, 0.0
    if columns > 1:
        while column < columns - 2 and numbers[axis + column + 1] <= load:
            column += 1
        across = (load - numbers[axis + column]) / (numbers[axis + column + 1] - numbers[axis + column])
    first = axis + columns + row * columns + column
    right, below = min(1, columns - 1), columns if rows > 1 else 0
    upper = numbers[first] * (1 - across) + numbers[first + right] * across
    lower = numbers[first + below] * (1 - across) + numbers[first + below + right] * across
    return float(upper * (1 - down) + lower * down)


@compiled
def _propagate(order: Ints, gates: int, out: Ints, starts: Ints, sources: Ints, arcs: Ints, energy_tables: Ints,
               table_starts: Ints, shapes: Ints, numbers: Floats, loads: Floats, clock_slew: float, arrival: Floats,
               slew: Floats, delay: Floats, energy: Floats, cause: Ints) -> None:
    """Fill the last five arrays driver by driver."""
    for driver in order:
        net, load = out[driver], loads[out[driver]]
        steepness, inputs = 0.0, 0
        for edge in range(2):
            total, count, latest = 0.0, 0, -1.0
            for arc in range(starts[driver], starts[driver + 1]):
                table, steep, sense = arcs[arc, edge], arcs[arc, 2 + edge], arcs[arc, 4]
                if table < 0:
                    continue
                source = sources[arc] if driver < gates else -1
                for edge_in in range(2):
                    if sense != 0 and (edge_in == edge) != (sense > 0):
                        continue
                    slew_in = slew[source, edge_in] if source >= 0 else clock_slew
                    begin = arrival[source, edge_in] if source >= 0 else 0.0
                    found = _look_up(table, table_starts, shapes, numbers, slew_in, load)
                    total += found
                    count += 1
                    steepness += slew_in
                    inputs += 1
                    if begin + found > latest:
                        latest = begin + found
                        if latest >= arrival[net].max():
                            cause[net] = source
                        slew[net, edge] = 0.0 if steep < 0 else max(
                            0.0, _look_up(steep, table_starts, shapes, numbers, slew_in, load))
            if count:
                delay[driver, edge] = total / count
                arrival[net, edge] = latest
        if energy_tables[driver] >= 0:
            energy[driver] = _look_up(energy_tables[driver], table_starts, shapes, numbers,
                                      steepness / max(1, inputs), load)
