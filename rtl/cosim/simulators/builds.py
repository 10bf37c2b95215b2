"""Builds that are known from earlier runs."""

from __future__ import annotations

import hashlib
from pathlib import Path

from rtl.cosim.simulators.engine import Engine, Progress
from rtl.verilog.ram_model import RAM_MODEL
from sim.io.build_cache import cache_directory, is_built, prune

__all__ = ["cached_build", "is_cached"]

KEY_DIGITS = 20


def cached_build(engine: Engine, text: str, top: str, progress: Progress | None = None) -> Path:
    """Return the folder with the build of SystemVerilog `text` by `engine`, from the cache where possible.

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
    """Return whether `cached_build` would find the build."""
    return is_built(_place(engine, text, top))


def _place(engine: Engine, text: str, top: str) -> Path:
    digest = hashlib.sha256()
    for part in (engine.version(), top, text, RAM_MODEL.read_text()):
        digest.update(hashlib.sha256(part.encode()).digest())
    return cache_directory(f"rtl/{engine.name}") / digest.hexdigest()[:KEY_DIGITS]
