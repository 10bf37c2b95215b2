"""What is executed lies where nobody else can write."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sim.io.trust import doubt, doubt_inside, read_own

WAY = ("a", "a/b", "a/b/c")


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    """What tests make cannot be written by others, whatever the umask of whoever runs them."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that nobody doubts."""
    place = tmp_path / WAY[-1]
    place.mkdir(parents=True)
    for path in (tmp_path, *(tmp_path / way for way in WAY)):
        path.chmod(0o755)
    assert doubt(place) is None
    return place


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777, 0o720, 0o702])
@pytest.mark.parametrize("way", WAY)
def test_what_others_can_write_is_doubted(folder: Path, tmp_path: Path, way: str, mode: int) -> None:
    """By the group or by all, at any place on the way: whoever writes a folder can exchange what lies in it."""
    (tmp_path / way).chmod(mode)
    text = f"{tmp_path / way} can be written by others (mode {mode:04o})"
    assert doubt(folder) == text


def test_a_sticky_folder_on_the_way_is_no_harm(folder: Path, tmp_path: Path) -> None:
    """As /tmp: nobody can exchange what is not theirs; but at the end of the way they could put things in."""
    (tmp_path / "a").chmod(0o1777)
    assert doubt(folder) is None
    folder.chmod(0o1777)
    assert doubt(folder) == f"{folder} can be written by others (mode 1777)"


@pytest.mark.parametrize("way", WAY)
def test_what_belongs_to_another_is_doubted(folder: Path, tmp_path: Path, way: str,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """Root alone may have folders on the way, and the last one is the user's."""
    lstat = os.lstat

    def owned(owner: int) -> Callable[[Path], os.stat_result]:
        def changed(path: Path) -> os.stat_result:
            facts = list(lstat(path))
            if path == tmp_path / way:
                facts[4] = owner
            return os.stat_result(facts)

        return changed

    monkeypatch.setattr("sim.io.trust.os.lstat", owned(os.geteuid() + 1))
    assert doubt(folder) == f"{tmp_path / way} belongs to user {os.geteuid() + 1}"
    if os.geteuid():
        monkeypatch.setattr("sim.io.trust.os.lstat", owned(0))
        assert doubt(folder) == (f"{folder} belongs to user 0" if tmp_path / way == folder else None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
@pytest.mark.parametrize("way", WAY)
def test_what_was_given_away_is_doubted(folder: Path, tmp_path: Path, way: str) -> None:
    """Owners are those of the disk."""
    os.chown(tmp_path / way, 65534, -1)
    assert doubt(folder) == f"{tmp_path / way} belongs to user 65534"


def test_links_are_followed_with_open_eyes(folder: Path, tmp_path: Path) -> None:
    """Absolute or not, through folders or other links: what is passed on the way behind a link counts as well."""
    other = tmp_path / "other" / "place"
    other.mkdir(parents=True)
    (folder / "absolute").symlink_to(other)
    (folder / "relative").symlink_to("../../../other/../other/place")
    (folder / "twice").symlink_to(folder / "relative")
    (tmp_path / "above").symlink_to("other")
    links = (folder / "absolute", folder / "relative", folder / "twice", tmp_path / "above" / "place")
    for link in links:
        assert doubt(link) is None
    (tmp_path / "other").chmod(0o777)
    for link in links:
        assert doubt(link) == f"{tmp_path / 'other'} can be written by others (mode 0777)"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give links away")
def test_a_link_of_another_is_doubted(folder: Path, tmp_path: Path) -> None:
    """In a sticky folder somebody may have laid a link to a place of ours, and can turn it elsewhere at any time."""
    sticky = tmp_path / "sticky"
    sticky.mkdir()
    sticky.chmod(0o1777)
    (sticky / "link").symlink_to(folder)
    assert doubt(sticky / "link") is None
    os.lchown(sticky / "link", 65534, -1)
    assert doubt(sticky / "link") == f"{sticky / 'link'} belongs to user 65534"


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    """Nobody waits for its end."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match=f"^{re.escape(str(tmp_path / 'a'))} is a loop of links$"):
        doubt(tmp_path / "a")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """Nor is a pipe."""
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    for name in ("file", "pipe"):
        assert doubt(tmp_path / name) == f"{tmp_path / name} is no folder"


@pytest.mark.parametrize(("spoil", "text"), [
    (lambda file: file.chmod(0o666), "can be written by others (mode 0666)"),
    (lambda file: file.parent.chmod(0o770), "can be written by others (mode 0770)"),
    (lambda file: (file.unlink(), file.symlink_to("/etc/hostname")), "is neither a file nor a folder"),
    (lambda file: (file.unlink(), os.mkfifo(file)), "is neither a file nor a folder"),
], ids=["file", "folder", "link", "pipe"])
def test_all_that_lies_inside_counts(folder: Path, spoil: Callable[[Path], object], text: str) -> None:
    """Of a build, every file and folder."""
    inside = folder / "deep" / "deeper"
    inside.mkdir(parents=True)
    (inside / "file").write_text("x")
    assert doubt_inside(folder) is None
    spoil(inside / "file")
    assert (doubt_inside(folder) or "").endswith(text)


def test_only_own_regular_files_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No link, pipe, device or folder, nothing that others can write or own, nothing larger than asked for."""
    file = folder / "file"
    file.write_bytes(b"code")
    assert read_own(file, 4) == b"code"
    assert read_own(file, 3) is None
    (folder / "link").symlink_to(file)
    os.mkfifo(folder / "pipe")
    (folder / "null").symlink_to("/dev/null")
    for name in ("link", "pipe", "null", ".", "missing"):
        assert read_own(folder / name, 99) is None
    for mode in (0o664, 0o646):
        file.chmod(mode)
        assert read_own(file, 4) is None
    file.chmod(0o644)
    assert read_own(file, 4) == b"code"
    monkeypatch.setattr("sim.io.trust.os.geteuid", lambda: os.getuid() + 1)
    assert read_own(file, 4) is None
