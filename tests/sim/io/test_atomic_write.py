"""Files appear whole or not at all, and killed processes leave nothing that stays."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sim.errors import InputError
from sim.io.atomic_write import atomic_folder, atomic_write, atomic_write_text, ensure_folder

WRITER = """\
import sys
from pathlib import Path
from sim.io.atomic_write import atomic_folder, atomic_write
place, kind = Path(sys.argv[1]), sys.argv[2]
with atomic_write(place) if kind == "file" else atomic_folder(place) as made:
    if kind == "file":
        made.write(b"new")
        made.flush()
    else:
        (made / "part").write_text("new")
    print("begun", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(params=["file", "folder"])
def kind(request: pytest.FixtureRequest) -> str:
    """What is written."""
    return str(request.param)


@pytest.fixture
def writer(tmp_path: Path, kind: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has begun to write `tmp_path / kind` and waits for a line."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / kind), kind], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        yield process
        process.kill()


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_what_a_killed_process_left_is_removed(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    """After a real SIGKILL the old file is whole, and the next write to any file of the folder removes the rest."""
    atomic_write_text(tmp_path / "old", "old")
    writer.kill()
    writer.wait()
    assert (tmp_path / "old").read_text() == "old"
    assert len(names(tmp_path)) == 2
    atomic_write_text(tmp_path / "other", "text")
    assert names(tmp_path) == ["old", "other"]


def test_what_is_being_written_stays(tmp_path: Path, writer: subprocess.Popen[str], kind: str) -> None:
    """Others write to the same folder, one of them to the same file; the first one still ends well, and last."""
    atomic_write_text(tmp_path / "other", "old")
    if kind == "file":
        atomic_write_text(tmp_path / "file", "old")
    assert len(names(tmp_path)) == (3 if kind == "file" else 2)
    writer.communicate("go on\n")
    assert writer.returncode == 0
    assert names(tmp_path) == [kind, "other"]
    assert (tmp_path / kind / ("" if kind == "file" else "part")).read_text() == "new"


def test_a_folder_that_is_there_stays(tmp_path: Path) -> None:
    """The second of two equal ones is given up."""
    for text in ("first", "second"):
        with atomic_folder(tmp_path / "folder") as beside:
            (beside / "part").write_text(text)
    assert names(tmp_path) == ["folder"]
    assert (tmp_path / "folder" / "part").read_text() == "first"


def test_only_what_was_left_unfinished_is_removed(tmp_path: Path) -> None:
    """Other hidden files, and links whatever they are called, stay."""
    kept = [".bitwright-0123456789abcdef.tm", "bitwright-0123456789abcdef.tmp", ".bitwright-0123456789abcdeg.tmp",
            ".a.npz.01234567.tmp", ".bitwright-.tmp"]
    for name in kept:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".bitwright-0123456789abcdef.tmp").symlink_to(tmp_path / kept[0])
    atomic_write_text(tmp_path / "file", "text")
    assert {*names(tmp_path)} == {*kept, ".bitwright-0123456789abcdef.tmp", "file"}


def test_many_writers_do_not_disturb_one_another(tmp_path: Path) -> None:
    """Threads that write the same few files at once all end well, each file is one of theirs, and nothing is left."""
    def write(number: int) -> None:
        atomic_write_text(tmp_path / str(number % 3), str(number) * 1000)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(200)))
    assert names(tmp_path) == ["0", "1", "2"]
    assert all(re.fullmatch(r"(\d+?)\1{999}", (tmp_path / name).read_text()) for name in names(tmp_path))


def test_without_locks_files_are_still_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system that knows none, nothing is taken for left behind."""
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    (tmp_path / ".bitwright-0123456789abcdef.tmp").write_text("of another host")
    atomic_write_text(tmp_path / "file", "text")
    assert names(tmp_path) == [".bitwright-0123456789abcdef.tmp", "file"]


@pytest.mark.parametrize(("name", "reason"), [
    ("none/file", "No such file or directory"), ("file/x", "Not a directory"), ("n" * 256, "File name too long"),
    ("a\0b", "no file can have such a name"), ("a\ud800", "no file can have such a name"),
    ("folder", "it is there and not a regular file"), ("pipe", "it is there and not a regular file"),
    ("", "it is there and not a regular file"), ("loop", "Too many levels of symbolic links")])
def test_places_that_cannot_be_written(tmp_path: Path, name: str, reason: str) -> None:
    """One sentence with the place and why; a pipe is not waited for."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = names(tmp_path)
    with pytest.raises(InputError, match=rf"^cannot write .*: {reason}$") as caught, atomic_write(tmp_path / name):
        pass
    assert str(caught.value).isprintable()
    assert names(tmp_path) == before


@pytest.mark.parametrize("name", ["n" * 255, "größe\n\x1b[2J"])
def test_any_name_that_the_file_system_takes_is_written(tmp_path: Path, name: str) -> None:
    """The longest names too: the file beside has a short name of its own."""
    atomic_write_text(tmp_path / name, "text")
    assert (tmp_path / name).read_text() == "text"


@pytest.mark.parametrize(("name", "reason"), [
    ("file", "File exists"), ("file/x", "Not a directory"), ("n" * 256, "File name too long"),
    ("a\0b", "none can have such a name")])
def test_folders_that_cannot_be_made(tmp_path: Path, name: str, reason: str) -> None:
    """One sentence with the place and why."""
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=rf"^cannot create the folder .*: {reason}$"):
        ensure_folder(tmp_path / name)
