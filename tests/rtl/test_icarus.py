"""Builds and their cache."""

from __future__ import annotations

import os
import re

import pytest

from rtl.icarus import SimulationError, build, cache_directory, prune, run_bench, source_key
from rtl.pool import PoolColumn
from rtl.verilog import verilog_text
from sim.errors import InputError


def test_a_refused_source_shows_the_log(tmp_path):
    """Verilog that Icarus refuses is an error with Icarus's own words, and leaves nothing behind."""
    with pytest.raises(SimulationError, match=r"(?s)^Icarus Verilog refused the source\n.*syntax error"):
        build("module unit; nonsense", "unit", tmp_path / "build")
    assert list(tmp_path.iterdir()) == []


def test_a_failing_bench_shows_the_log(tmp_path):
    """A bench that cannot even be imported is an error with the tail of the log."""
    place = build(verilog_text(PoolColumn(4), "unit"), "unit", tmp_path / "build")
    with pytest.raises(SimulationError, match=r"(?s)^rtl.benches.no_such_bench.*No module named"):
        run_bench(place, "unit", "rtl.benches.no_such_bench", tmp_path, {})


def test_two_builds_of_one_place_agree(tmp_path):
    """Whoever comes second keeps the build that is there."""
    text = verilog_text(PoolColumn(4), "unit")
    first = build(text, "unit", tmp_path / "build")
    kept = (first / "sim.vvp").stat().st_mtime_ns
    assert build(text, "unit", tmp_path / "build") == first
    assert (first / "sim.vvp").stat().st_mtime_ns == kept


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    """Builds are kept in the user's cache, in the temporary files if that cannot be written, else nowhere."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_directory() == tmp_path / "cache" / "bitwright" / "rtl"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert cache_directory() == tmp_path / f"bitwright-{os.getuid()}" / "rtl"
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "file"))
    message = f"no folder to build in: neither {tmp_path / 'file'} nor {tmp_path / 'file'} can be written"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        cache_directory()


def test_old_builds_are_removed(tmp_path):
    """The newest builds stay."""
    for age, name in enumerate("abcd"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    prune(tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_build_in_the_making_is_not_removed(tmp_path):
    """Another process's unfinished build stays, however old, and one that vanishes meanwhile does not matter."""
    (tmp_path / ".building-x").mkdir()
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "a").mkdir()
    prune(tmp_path, keep=0)
    assert (tmp_path / ".building-x").is_dir()
    assert not (tmp_path / "a").exists()


def test_keys_tell_machines_apart():
    """Other things to build have other keys; the same thing has the same."""
    assert source_key("a") == source_key("a") != source_key("b")
