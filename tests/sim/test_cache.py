"""Folders in the user's cache."""

from __future__ import annotations

import os
import re
import threading

import pytest

from sim.cache import cache_directory, made, prune
from sim.errors import InputError


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    """Builds are kept in the user's cache, in the temporary files if that cannot be written, else nowhere."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_directory("rtl") == tmp_path / "cache" / "bitwright" / "rtl"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert cache_directory("rtl") == tmp_path / f"bitwright-{os.getuid()}" / "rtl"
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "file"))
    message = f"no folder for a cache: neither {tmp_path / 'file'} nor {tmp_path / 'file'} can be written"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        cache_directory("rtl")


def test_a_failed_make_leaves_nothing(tmp_path):
    """A place appears only when it is complete."""
    def fails(folder):
        (folder / "half").write_text("")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match=r"^no$"):
        made(tmp_path / "place", fails)
    assert [path.name for path in tmp_path.iterdir()] == [".locks"]


def test_a_place_is_made_once(tmp_path):
    """Of several that want the same place at the same time, one makes it and the others wait for it."""
    calls, started = [], threading.Barrier(4)

    def want():
        started.wait()
        made(tmp_path / "place", lambda folder: (calls.append(folder), (folder / "file").write_text("x")))
        assert (tmp_path / "place" / "file").read_text() == "x"

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_what_was_used_last_stays(tmp_path):
    """Pruning keeps as many bytes as asked for, of what was used last; using a place counts."""
    for age, name in enumerate("abcd"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x" * 100)
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    used = tmp_path / "d"
    made(used, lambda _: None)
    prune(tmp_path, keep_bytes=250)
    assert sorted(path.name for path in tmp_path.glob("?")) == ["a", "d"]


def test_a_build_in_the_making_is_not_removed(tmp_path):
    """Another process's unfinished build stays, however old, and one that vanishes meanwhile does not matter."""
    (tmp_path / ".building-x").mkdir()
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_text("x")
    prune(tmp_path, keep_bytes=0)
    assert (tmp_path / ".building-x").is_dir()
    assert not (tmp_path / "a").exists()
