"""A technology from gates: a machine's netlist in a cell library, what layers take in it, and the rows that follow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rtl.gates.circuit import Circuit
from rtl.gates.components import ELEMENT_STAGES, blocks, components
from rtl.gates.library import Library
from rtl.gates.mapping import LEAST_GATED, map_design, mapper
from rtl.gates.measure import Bench, Measured
from rtl.gates.netlist import flatten
from rtl.gates.paths import longest_paths
from rtl.gates.prices import EventEnergies, event_energies
from rtl.gates.slice import slice_of
from rtl.gates.workload import PAIRS, workload
from rtl.verilog.cache import machine_text
from rtl.verilog.emit import TOP
from sim.arch.machine import Machine
from sim.energy.parts import BLOCKS
from sim.errors import InputError
from sim.io.build_cache import cache_directory, get_or_build, prune

__all__ = ["BITS", "Block", "Calibration", "calibrate"]

BITS = ((8, 8), (4, 4), (2, 2))
SEEDS = (0, 1)
"""Every choice of bits runs with the data of each."""
NETLIST = "netlist.json"
KEY_DIGITS = 20

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Block:
    """A block of the netlist: all instances of `sim.energy.parts.Block` together.

    Attributes
    ----------
    cells, flip_flops : int
    area_um2, leakage_nw : float
    longest_ps : float
        Longest path that ends in it, setup included; static, by the library's tables.
    path : str
        Where that path begins and ends.
    """

    cells: int
    flip_flops: int
    area_um2: float
    leakage_nw: float
    longest_ps: float
    path: str


@dataclass(frozen=True)
class Calibration:
    """What was measured.

    Attributes
    ----------
    machine : Machine
        The one that is calibrated.
    slice : Machine
        The smaller one that was mapped.
    library : Library
    clock_gate : str or None
    netlist_hash : str
    runs : tuple of Measured
    blocks : dict of str to Block
    fixed_element_um2 : float
        Area of an element without what counts ones.
    settled_ps : float
        Latest change after a clock edge in all runs.
    """

    machine: Machine
    slice: Machine
    library: Library
    clock_gate: str | None
    netlist_hash: str
    runs: tuple[Measured, ...]
    blocks: dict[str, Block]
    fixed_element_um2: float
    settled_ps: float

    @cached_property
    def energies(self) -> EventEnergies:
        """Energies of events."""
        return event_energies(self.slice, self.runs)

    @property
    def provenance(self) -> str:
        """Where every measured number comes from."""
        gating = (f"clock gates {self.clock_gate} for {LEAST_GATED} flip-flops or more" if self.clock_gate
                  else "no clock gates")
        seeds = ", ".join(map(str, SEEDS))
        bits = ", ".join(f"{w}/{a}" for w, a in BITS)
        small, library = self.slice, self.library
        return (f"Gates of {small.name} ({small.rows} x {small.columns} x {small.lanes}) in {library.name} "
                f"(sha256 {library.digest}), {library.corner}; {mapper()}, abc, {gating}; netlist {self.netlist_hash}; "
                f"bitwright calibrate, layers at {bits} bits with seeds {seeds}; not placed.")


def calibrate(machine: Machine, library: Library, clock_gate: str | None, *, bits: Sequence[tuple[int, int]] = BITS,
              seeds: Sequence[int] = SEEDS, pairs: int = PAIRS, progress: Progress = lambda text: None) -> Calibration:
    """Map a slice of a machine, run layers on it, and return what they take.

    The netlist is remembered, so that a calibration that was interrupted goes on after it.

    Raises
    ------
    InputError
        If Yosys is missing, the library has no cell that is needed, or the machine is too small for the layers.
    EngineError
        If Yosys fails, or the netlist does not do what the simulator says.
    """
    small = slice_of(machine)
    progress(f"mapping {small.name} to {library.name}")
    modules = mapped(small, library, clock_gate)
    circuit = Circuit(flatten(modules, TOP, library.cells), library, wire_load(library))
    progress(f"{len(circuit.cells):,} cells, {len(circuit.flip_flops):,} of them flip-flops")
    bench = Bench(small, circuit)
    runs = []
    for bits_w, bits_a in bits:
        for seed in seeds:
            name = f"{bits_w}/{bits_a} seed {seed}"
            if bits_w > machine.max_bits_w or bits_a > machine.max_bits_a:
                raise InputError(f"machine '{machine.name}' has no layers of {bits_w}/{bits_a} bits")
            runs.append(bench.run(name, workload(small, bits_w, bits_a, seed, pairs)))
            progress(f"layers at {name}: {runs[-1].cycles:,} cycles, codes and counters equal")
    return Calibration(machine, small, library, clock_gate, _hash(modules), tuple(runs), _blocks(circuit, bench),
                       _fixed_element(circuit, bench, small), bench.simulation.settled_ps)


def wire_load(library: Library) -> float:
    """Return the load of a wire for each pin it leads to: as much as an input of the smallest NAND [fF]."""
    loads = library.cell(library.smallest_nand).loads.values()
    return sum(loads) / len(loads)


def mapped(machine: Machine, library: Library, clock_gate: str | None) -> Mapping[str, Any]:
    """Return the mapped modules of a machine, from the cache where possible."""
    text = machine_text(machine)
    key = hashlib.sha256("\0".join((text, library.digest, str(clock_gate), mapper(), _source())).encode())
    folder = cache_directory("gates/netlists")

    def build(place: Path) -> None:
        (place / NETLIST).write_text(json.dumps(map_design(text, TOP, library, clock_gate)))

    place = get_or_build(folder / key.hexdigest()[:KEY_DIGITS], build)
    prune(folder)
    modules: Mapping[str, Any] = json.loads((place / NETLIST).read_text())
    return modules


def _source() -> str:
    """Return the text of what decides how a design is mapped."""
    return "".join((Path(__file__).parent / f"{name}.py").read_text() for name in ("mapping", "library_text"))


def _hash(modules: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(modules, sort_keys=True).encode()).hexdigest()[:KEY_DIGITS]


def _blocks(circuit: Circuit, bench: Bench) -> dict[str, Block]:
    of, paths = blocks(circuit), longest_paths(circuit, bench.delays)
    area, leakage = bench.costs.area, bench.costs.leakage_nw
    flip_flops = np.array([cell.kind == "flip_flop" for cell in circuit.cells])
    return {name: Block(int((of == name).sum()), int(flip_flops[of == name].sum()), float(area[of == name].sum()),
                        float(leakage[of == name].sum()), paths[name].ps, f"{paths[name].start} to {paths[name].end}")
            for name in BLOCKS if name in of}


def _fixed_element(circuit: Circuit, bench: Bench, machine: Machine) -> float:
    component = components(circuit)
    fixed = sum(float(bench.costs.area[component == stage].sum()) for stage in ELEMENT_STAGES[1:])
    return fixed / BLOCKS["elements"].instances.of(machine)
