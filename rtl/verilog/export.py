"""A folder with everything that is needed to build a machine: Verilog, file list, waivers, registers, parameters."""

from __future__ import annotations

import json
import re
from pathlib import Path

from amaranth.lib import data

from rtl.core.control.counter_names import COUNTERS
from rtl.encoding.geometry import Geometry
from rtl.encoding.hardware_id import signature
from rtl.shell.csr_docs import registers_markdown, registers_rdl
from rtl.verilog.cache import machine_text
from rtl.verilog.emit import TOP
from rtl.verilog.ram_model import RAM_MODEL
from rtl.verilog.smoke_test import smoke_texts
from sim.arch.machine import Machine
from sim.io.atomic_write import atomic_write_text, ensure_folder

__all__ = ["FILE_LIST", "WAIVERS", "generate", "size_warning"]

FILE_LIST = f"{TOP}.f"
WAIVERS = Path(__file__).parent / "bitwright.vlt"
"""Lint warnings that are meant, each with its reason."""
LARGE_PRODUCTS = 32 * 7 * 128
"""rows x columns x lanes of the machine `large`."""

MODULE = re.compile(r"^(?://[^\n]*\n)*module (\w+).*?^endmodule\n", re.M | re.S)


def size_warning(machine: Machine) -> str | None:
    """Return what to say before work on a machine whose Verilog takes long to write, None for the others.

    >>> from sim.arch.machine import load_machine
    >>> size_warning(load_machine("large"))
    >>> size_warning(load_machine("large").model_copy(update={"columns": 64}))
    "machine 'large' has 262,144 one-bit products, 9.1 times those of the largest built-in one: its Verilog takes long"
    """
    products = machine.rows * machine.columns * machine.lanes
    if products <= LARGE_PRODUCTS:
        return None
    return (f"machine '{machine.name}' has {products:,} one-bit products, {products / LARGE_PRODUCTS:.1f} times those "
            "of the largest built-in one: its Verilog takes long")


def generate(machine: Machine, directory: str | Path) -> tuple[Path, ...]:
    """Write the accelerator of `machine` into `directory`.

    Returns
    -------
    tuple of Path
        The files written: one `.sv` for each module and the memory model, `bitwright.f` (their list), `bitwright.vlt`
        (lint waivers), `bitwright.json` (parameters and layouts), `registers.md` and `registers.rdl`, and a smoke test:
        `bitwright_smoke.sv` says how to run it.

    Raises
    ------
    InputError
        If the directory cannot be written.
    """
    place = ensure_folder(directory)
    modules = {f"{found[1]}.sv": found[0] for found in MODULE.finditer(machine_text(machine))}
    sources = {RAM_MODEL.name: RAM_MODEL.read_text(), **modules}
    texts = {
        **sources, FILE_LIST: "".join(f"{name}\n" for name in sources), WAIVERS.name: WAIVERS.read_text(),
        f"{TOP}.json": json.dumps(_parameters(machine), indent=1) + "\n",
        "registers.md": registers_markdown(), "registers.rdl": registers_rdl(), **smoke_texts(machine),
    }
    for name, text in texts.items():
        atomic_write_text(place / name, text)
    return tuple(place / name for name in texts)


def _parameters(machine: Machine) -> dict[str, object]:
    geometry = Geometry(machine)
    return {
        "top": TOP, "machine": machine.model_dump(), "signature": signature(geometry), "ops": geometry.limits.max_ops,
        "address_bits": geometry.address_bits, "counters": COUNTERS,
        "descriptor": _fields(geometry.descriptor), "inward": _fields(geometry.inward),
        "outward": _fields(geometry.outward), "packet": _fields(geometry.packet_layout),
    }


def _fields(layout: data.StructLayout) -> dict[str, list[int]]:
    """Lowest bit and width of every field of a word."""
    return {name: [field.offset, field.width] for name, field in layout}
