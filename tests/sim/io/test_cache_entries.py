"""Entries of a cache: whole, this user's own, or not there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sim.io.build_cache import _of_this_process, cache_directory, warn_once
from sim.io.cache_entries import Entries, open_entries


@pytest.fixture(autouse=True)
def _as_in_a_new_process() -> Iterator[None]:
    """Nothing has been said, and no folder been made."""
    for known in (warn_once, _of_this_process):
        known.cache_clear()
    yield
    _of_this_process.cache_clear()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Any bytes, by any later process, for this user's eyes alone; another name is another entry."""
    content = bytes(range(256)) * 9
    Entries(tmp_path / "key").write("a", content)
    assert Entries(tmp_path / "key").read("a") == content
    assert Entries(tmp_path / "key").read("b") is None
    assert [path.name for path in (tmp_path / "key").iterdir()] == ["a"]
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "key" / "a").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("spoil", [
    lambda file: file.write_bytes(file.read_bytes()[:-1]),
    lambda file: file.write_bytes(file.read_bytes().replace(b"code", b"evil")),
    lambda file: file.write_bytes(b""),
    lambda file: file.write_bytes(b"code"),
    lambda file: file.chmod(0o666),
    lambda file: (file.rename(file.with_name("b")), file.symlink_to("b")),
    lambda file: (file.unlink(), os.mkfifo(file)),
    lambda file: (file.unlink(), file.symlink_to("/dev/zero")),
], ids=["cut", "changed", "empty", "bare", "writable", "link", "pipe", "device"])
def test_what_is_no_entry_is_made_again(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    """It is not read, nobody waits for it, and the next entry takes its place."""
    entries = Entries(tmp_path / "key")
    entries.write("a", b"code")
    spoil(tmp_path / "key" / "a")
    assert entries.read("a") is None
    entries.write("a", b"code")
    assert entries.read("a") == b"code"
    assert not (tmp_path / "key" / "a").is_symlink()


def test_a_disk_that_fails_costs_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is noticed while writing: nothing half written stays, and nothing more is tried."""
    entries = Entries(tmp_path / "key")

    def full(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sim.io.cache_entries.os.replace", full)
    text = "machine code is compiled anew by every process: [Errno 28] No space left on device"
    with pytest.warns(RuntimeWarning, match=f"^{re.escape(text)}$"):
        entries.write("a", b"code")
    entries.write("a", b"code")
    assert entries.read("a") is None
    assert list((tmp_path / "key").iterdir()) == []


def test_a_killed_writer_leaves_nothing_that_stays(tmp_path: Path) -> None:
    """The half file of a process that was killed is gone when the next one opens the folder, or writes to it."""
    script = ("import sys, time; from pathlib import Path; import sim.io.cache_entries\n"
              "sim.io.cache_entries.os.replace = lambda *_: (print('writing', flush=True), time.sleep(99))\n"
              "sim.io.cache_entries.Entries(Path(sys.argv[1])).write('a', b'code')")
    key = tmp_path / "key"
    early = Entries(key)
    for later in (lambda: Entries(key), lambda: early.write("b", b"code")):
        with subprocess.Popen([sys.executable, "-c", script, key], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert len(list(key.glob(".writing-*"))) == 1
            process.send_signal(signal.SIGKILL)
        assert len(list(key.glob(".writing-*"))) == 1
        later()
        assert list(key.glob(".*")) == []


def test_a_key_of_somebody_else_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of that key that others can write is removed with all that is in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    open_entries("part", "key").write("a", b"code")
    assert open_entries("part", "key").read("a") == b"code"
    (cache_directory("part") / "key").chmod(0o777)
    again = open_entries("part", "key")
    assert again.read("a") is None
    again.write("a", b"code")
    assert open_entries("part", "key").read("a") == b"code"


def test_no_cache_costs_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the user's cache nor the temporary files: nothing is kept, and the reason is told."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "file"))
    text = "machine code is compiled anew by every process: no folder for a cache: "
    with pytest.warns(RuntimeWarning, match=f"^{re.escape(text)}.*Not a directory.*Not a directory$"):
        entries = open_entries("part", "key")
    entries.write("a", b"code")
    assert entries.read("a") is None
