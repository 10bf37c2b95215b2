"""Loops that are compiled once: found again, never stale, never somebody else's."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pytest

import sim.jit.compiled_loop
from sim.io.build_cache import cache_directory, warn_once

TEXT = """
from sim.jit.compiled_loop import compiled

@compiled
def scaled(value):
    return {factor} * value
"""


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    warn_once.cache_clear()


def loaded(tmp_path: Path, factor: int) -> Any:
    """`scaled` of a file that multiplies by `factor`, as a new process would have it."""
    sim.jit.compiled_loop._entries.cache_clear()
    (tmp_path / "loops.py").write_text(TEXT.format(factor=factor))
    spec = importlib.util.spec_from_file_location("loops", tmp_path / "loops.py")
    assert spec is not None
    assert spec.loader is not None
    loops = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loops)
    return loops.scaled


def hits(scaled: Any) -> int:
    """Signatures that came from the cache."""
    return sum(scaled.stats.cache_hits.values())


def entries() -> list[Path]:
    return list(cache_directory("loops").rglob("scaled-*"))


def test_loops_are_compiled_once(tmp_path: Path) -> None:
    """The second process loads what the first compiled, for each kind of arguments."""
    first = loaded(tmp_path, 3)
    assert (first(5), first(0.5), hits(first)) == (15, 1.5, 0)
    again = loaded(tmp_path, 3)
    assert (again(5), again(0.5), hits(again)) == (15, 1.5, 2)
    assert len(entries()) == 2


def test_an_edit_is_compiled_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one of the same length, made in the same second, which Python's own cache of byte code does not see."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert loaded(tmp_path, 3)(5) == 15
    stamp = (tmp_path / "loops.py").stat()
    edited = loaded(tmp_path, 4)
    os.utime(tmp_path / "loops.py", (stamp.st_atime, stamp.st_mtime))
    assert (edited(5), hits(edited)) == (20, 0)


def test_damaged_loops_are_compiled_anew(tmp_path: Path) -> None:
    """A file that is not what was written is never unpickled."""
    assert loaded(tmp_path, 3)(5) == 15
    (entry,) = entries()
    whole = entry.read_bytes()
    for damaged in (whole[:-1], b"", whole.partition(b"\n")[2], whole[:-9] + bytes(9)):
        entry.write_bytes(damaged)
        again = loaded(tmp_path, 3)
        assert (again(5), hits(again)) == (15, 0)
        assert entry.read_bytes() != damaged


def test_loops_of_others_are_compiled_anew(tmp_path: Path) -> None:
    """What others can write is not run."""
    assert loaded(tmp_path, 3)(5) == 15
    (entry,) = entries()
    for path in (entry, entry.parent):
        path.chmod(0o777)
        again = loaded(tmp_path, 3)
        assert (again(5), hits(again)) == (15, 0)
        again = loaded(tmp_path, 3)
        assert (again(5), hits(again)) == (15, 1)


def test_loops_run_without_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are compiled by every process."""
    def full(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sim.io.cache_entries.os.replace", full)
    with pytest.warns(RuntimeWarning, match=r"^machine code is compiled anew by every process: "):
        assert loaded(tmp_path, 3)(5) == 15
    assert entries() == []
