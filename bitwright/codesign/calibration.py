"""A technology file from Liberty files, with its progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from rtl.gates.calibration import Calibration, calibrate
from rtl.gates.liberty import read_liberty
from rtl.gates.library import Library
from rtl.gates.macros import read_macros
from rtl.gates.technology_file import MemoryLaws, technology_of
from sim.arch.machine import Machine
from sim.energy.technology import Technology, load_technology
from sim.io.atomic_write import atomic_write_text

__all__ = ["calibrate_technology"]


def calibrate_technology(machine: Machine, liberty: Sequence[Path], sram: Sequence[Path], clock_gate: str | None,
                         base: str, name: str, node_nm: float, out: Path,
                         progress: Callable[[str], None] = lambda text: None) -> tuple[Calibration, Technology]:
    """Calibrate, and write the technology file.

    Parameters
    ----------
    machine : Machine
    liberty, sram : sequence of Path
        Files of cells, and of memory macros.
    clock_gate : str or None
    base : str
        Technology for what is not measured.
    name : str
    node_nm : float
    out : Path
        Is written.
    progress : callable, optional
        Is told of every step.

    Raises
    ------
    InputError
        If a file cannot be read, does not belong to the others, or lacks what is needed.
    EngineError
        If Yosys fails, or the netlist does not do what the simulator says.
    """
    rest = load_technology(base)
    library = Library([read_liberty(path) for path in liberty])
    laws = MemoryLaws.through(read_macros([read_liberty(path) for path in sram])) if sram else None
    progress(f"{library.name}: {len(library.cells)} cells, {library.corner}")
    found = calibrate(machine, library, clock_gate, progress=progress)
    technology = technology_of(found, laws, rest, name, node_nm)
    text = yaml.safe_dump(technology.model_dump(exclude_defaults=True, mode="json"), sort_keys=False, width=120)
    atomic_write_text(out, text)
    return found, technology
