"""Whatever path a user names: a regular file of bounded size is read, and all else is refused in one sentence."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from sim.errors import InputError
from sim.io.regular_file import open_regular, read_regular, read_text


def test_a_regular_file_is_read_up_to_the_largest_size(tmp_path: Path) -> None:
    """A file of exactly the largest size is read whole; one byte more is refused."""
    file = tmp_path / "a"
    file.write_bytes(b"four")
    assert read_regular(file, "thing", 4) == b"four"
    with pytest.raises(InputError, match=f"^cannot read thing '{file}': it is larger than 3 bytes$"):
        read_regular(file, "thing", 3)


def test_a_large_sparse_file_is_refused_by_its_size_alone(tmp_path: Path) -> None:
    """A terabyte of nothing is refused before anything is read."""
    file = tmp_path / "sparse"
    with file.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(InputError, match=f"^cannot read thing '{file}': it is larger than 1,000 bytes$"):
        open_regular(file, "thing", 1000)


def test_a_file_that_says_it_is_empty_and_never_ends_is_read_no_further_than_the_limit() -> None:
    """Files of the kernel have size 0 whatever they hold: what was read counts."""
    with pytest.raises(InputError, match=r"^cannot read thing '/proc/self/maps': it is larger than 10 bytes$"):
        read_regular("/proc/self/maps", "thing", 10)


@pytest.mark.parametrize("kind", ["folder", "fifo", "socket", "/dev/zero", "link to a fifo"])
def test_what_is_not_a_regular_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    """Nothing waits for a pipe's other end or reads a device."""
    place = Path(kind) if kind.startswith("/") else tmp_path / "x"
    if kind == "folder":
        place.mkdir()
    elif kind == "fifo":
        os.mkfifo(place)
    elif kind == "socket":
        os.mknod(place, stat.S_IFSOCK | 0o600)
    elif kind == "link to a fifo":
        os.mkfifo(tmp_path / "y")
        place.symlink_to(tmp_path / "y")
    open_before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(InputError, match=f"^cannot read thing '{place}': it is not a regular file$"):
        open_regular(place, "thing", 1000)
    assert len(os.listdir("/proc/self/fd")) == open_before


@pytest.mark.parametrize(("path", "message"), [
    ("", "no thing ''"),
    ("none\x1b[2J", "no thing 'none\\x1b[2J'"),
    ("a\0b", "cannot read thing 'a\\x00b': no file can have such a name"),
    ("a\ud800b", "cannot read thing 'a\\ud800b': no file can have such a name"),
    ("n" * 5000, f"cannot read thing '{'n' * 200}... (5000 characters)': File name too long"),
])
def test_a_path_that_leads_nowhere_is_shown_on_one_line(path: str, message: str) -> None:
    """Whatever letters a path has, the message is one printable line of bounded length."""
    with pytest.raises(InputError, match=f"^{re.escape(message)}$") as caught:
        read_regular(path, "thing", 1000)
    assert str(caught.value).isprintable()


def test_a_long_path_that_can_exist_is_shown_whole() -> None:
    """The end of a path tells files apart, so it is not cut off."""
    path = "/".join(["folder"] * 100) + "/program.safetensors"
    with pytest.raises(InputError, match=f"^no thing '{path}'$"):
        read_regular(path, "thing", 1000)


def test_text_that_is_not_utf8_is_refused_with_the_byte(tmp_path: Path) -> None:
    """The first byte at fault is named; the text of a right file comes whatever the locale is."""
    file = tmp_path / "text"
    file.write_bytes(b"gr\xc3\xb6\xc3\x9fe")
    assert read_text(file, "thing", 100) == "größe"
    file.write_bytes(b"gr\xf6")
    with pytest.raises(InputError, match=f"^cannot read thing '{file}': it is not UTF-8, byte 2 is 0xf6$"):
        read_text(file, "thing", 100)
