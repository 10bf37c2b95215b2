"""A netlist as arrays, over which compiled loops run: what drives each net, what it feeds, and what it loads.

A driver is an output of a gate, then of a flip-flop, then a bit that a memory reads out, then an input of the design.
A circuit has one clock, which clock gates pass on; they follow in the order of the netlist, the clock itself before
them. Clocks arrive everywhere at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rtl.gates.library import Cell, Library, Output
from rtl.gates.netlist import ONE, ZERO, Instance, Netlist
from sim.errors import InputError

__all__ = ["CLOCK", "Circuit", "Ragged"]

CLOCK = "clk"
"""Port of the design's clock."""
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Ragged:
    """Lists of different lengths, one after another: list `i` is `items[start[i]:start[i + 1]]`."""

    start: Ints
    items: Ints

    @classmethod
    def of(cls, lists: Sequence[Sequence[int]]) -> Ragged:
        """Return lists in this form."""
        lengths = np.array([0, *(len(one) for one in lists)], np.int64)
        return cls(np.cumsum(lengths), np.array([item for one in lists for item in one], np.int64))


@dataclass(frozen=True)
class Drive:
    """An output of an instance; `index` is the instance's number in the netlist."""

    index: int
    instance: Instance
    cell: Cell
    output: Output


class Circuit:
    """A netlist with its library.

    Parameters
    ----------
    netlist : Netlist
    library : Library
    wire_ff : float
        Load of a wire for each pin that it leads to [fF].

    Raises
    ------
    InputError
        If a cell cannot be simulated, a net has two drivers, or there is a clock other than the port `clk`.
    """

    def __init__(self, netlist: Netlist, library: Library, wire_ff: float) -> None:
        self.netlist, self.library, self.wire_ff = netlist, library, wire_ff
        self.cells = [library.cell(one.cell) for one in netlist.instances]
        other = sorted({cell.name for cell in self.cells if cell.kind == "other"})
        if other:
            raise InputError(f"cells that cannot be simulated: {', '.join(other[:5])}")
        self.gates = list(self._drives("gate"))
        self.flip_flops = list(self._drives("flip_flop"))
        self.gaters = list(self._drives("clock_gate"))
        self.clock_net = netlist.inputs[CLOCK][0]
        self._clocks = {self.clock_net: 0} | {
            drive.instance.pins[drive.output.pin]: number for number, drive in enumerate(self.gaters, 1)}
        self.read_bits = [net for memory in netlist.memories for net in memory.ports["rdata"]]
        self.input_nets = [net for name, nets in netlist.inputs.items() if name != CLOCK for net in nets]
        self.out = np.array([*(drive.instance.pins[drive.output.pin] for drive in (*self.gates, *self.flip_flops)),
                             *self.read_bits, *self.input_nets], np.int64)
        if len(set(self.out.tolist()) | {ZERO, ONE}) != len(self.out) + 2:
            raise InputError("a net of the netlist has two drivers, or a constant has one")

    def _drives(self, kind: str) -> Iterator[Drive]:
        for index, (instance, cell) in enumerate(zip(self.netlist.instances, self.cells, strict=True)):
            if cell.kind == kind:
                for output in cell.outputs:
                    if output.pin in instance.pins:
                        yield Drive(index, instance, cell, output)

    @property
    def computed(self) -> list[Drive]:
        """Gates and flip-flops: the drivers that have inputs."""
        return [*self.gates, *self.flip_flops]

    @cached_property
    def inputs(self) -> Ragged:
        """The nets that each of `computed` reads; a flip-flop not its clock."""
        return Ragged.of([[drive.instance.pins.get(pin, ZERO) for pin in drive.cell.reads] for drive in self.computed])

    @cached_property
    def tables(self) -> tuple[Ints, NDArray[np.uint8]]:
        """Where the truth table of each of `computed` begins, and all tables."""
        places: dict[bytes, int] = {}
        pieces, starts, length = [], [], 0
        for drive in self.computed:
            table = drive.output.table
            key = table.tobytes()
            if key not in places:
                places[key] = length
                pieces.append(table)
                length += len(table)
            starts.append(places[key])
        return np.array(starts, np.int64), np.concatenate(pieces) if pieces else np.zeros(0, np.uint8)

    @cached_property
    def readers(self) -> Ragged:
        """The gates that each net feeds."""
        found: list[list[int]] = [[] for _ in range(self.netlist.nets)]
        for number, drive in enumerate(self.gates):
            for pin in drive.cell.reads:
                found[drive.instance.pins.get(pin, ZERO)].append(number)
        found[ZERO] = found[ONE] = []
        return Ragged.of([list(dict.fromkeys(one)) for one in found])

    @cached_property
    def clocks(self) -> Ints:
        """The number of the clock of each flip-flop: 0, or that of its clock gate."""
        return np.array([self.clock_of(drive) for drive in self.flip_flops], np.int64)

    def clock_of(self, drive: Drive) -> int:
        """Return the number of the clock at a cell."""
        net = drive.instance.pins[drive.cell.clock]
        if net not in self._clocks:
            raise InputError(f"{'.'.join(drive.instance.path)}: a clock is neither the port {CLOCK} nor a clock gate's")
        return self._clocks[net]

    @cached_property
    def enables(self) -> Ints:
        """For each clock, the net that lets it pass."""
        return np.array([ONE, *(drive.instance.pins[drive.cell.enable] for drive in self.gaters)], np.int64)

    @cached_property
    def parents(self) -> Ints:
        """For each clock, the clock that it comes from."""
        return np.array([0, *(self.clock_of(drive) for drive in self.gaters)], np.int64)

    @cached_property
    def fan_out(self) -> Ints:
        """Pins that each net leads to, those of memories and outputs of the design included."""
        found = np.zeros(self.netlist.nets, np.int64)
        for instance, cell in zip(self.netlist.instances, self.cells, strict=True):
            for pin in cell.loads:
                found[instance.pins.get(pin, ZERO)] += 1
        for memory in self.netlist.memories:
            for port, nets in memory.ports.items():
                if port != "rdata":
                    np.add.at(found, np.array(nets, np.int64), 1)
        for nets in self.netlist.outputs.values():
            np.add.at(found, np.array(nets, np.int64), 1)
        found[:2] = 0
        return found

    @cached_property
    def pin_loads(self) -> NDArray[np.float64]:
        """Capacitance of the pins that each net leads to [fF]; a pin of a memory counts as one of a flip-flop."""
        found = np.zeros(self.netlist.nets)
        for instance, cell in zip(self.netlist.instances, self.cells, strict=True):
            for pin, load in cell.loads.items():
                found[instance.pins.get(pin, ZERO)] += load
        for memory in self.netlist.memories:
            for port, nets in memory.ports.items():
                if port != "rdata":
                    np.add.at(found, np.array(nets, np.int64), self.data_pin)
        found[:2] = 0
        return found

    @cached_property
    def data_pin(self) -> float:
        """Capacitance of a flip-flop's data pin [fF]: the mean of those in the netlist."""
        found = [drive.cell.loads[pin] for drive in self.flip_flops for pin in drive.cell.reads
                 if pin in drive.cell.loads]
        return sum(found) / len(found) if found else self.library.cell(self.library.smallest_nand).loads.popitem()[1]

    @cached_property
    def wire_loads(self) -> NDArray[np.float64]:
        """Capacitance of each net's wire [fF]."""
        return self.fan_out.astype(np.float64) * self.wire_ff
