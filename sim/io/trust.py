"""Whether somebody else can change what lies at a path: what is executed is read from nowhere else."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["doubt", "doubt_inside", "read_own"]

MOST_LINKS = 40
"""Most symbolic links followed on the way to a folder, as many as Linux follows."""
OTHERS = stat.S_IWGRP | stat.S_IWOTH
"""Permission of others to write."""


def doubt(folder: Path) -> str | None:
    """Say why `folder` might not hold what this user wrote, None if it must.

    It belongs to the user, and nobody else can write it. Every folder and link on the way to it belongs to the user or
    to root, and in none of these folders can anybody else put another thing in the place of the next: it cannot be
    written by others, or keeps their hands off what is not theirs (sticky, as /tmp).

    Parameters
    ----------
    folder : Path
        Absolute.

    Raises
    ------
    OSError
        If it is not there.
    """
    for place, last in _passed(folder):
        facts = os.lstat(place)
        if facts.st_uid != os.geteuid() and (last or facts.st_uid != 0):
            return f"{place} belongs to user {facts.st_uid}"
        if last and not stat.S_ISDIR(facts.st_mode):
            return f"{place} is no folder"
        if stat.S_ISDIR(facts.st_mode) and facts.st_mode & OTHERS and (last or not facts.st_mode & stat.S_ISVTX):
            return f"{place} can be written by others (mode {stat.S_IMODE(facts.st_mode):04o})"
    return None


def doubt_inside(place: Path) -> str | None:
    """Say why `place`, in a folder that `doubt` does not doubt, might hold what this user did not write.

    It and all in it are folders and regular files that belong to the user and that nobody else can write.
    """
    for path in (place, *sorted(place.rglob("*"))):
        facts = os.lstat(path)
        if not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
            return f"{path} is neither a file nor a folder"
        if facts.st_uid != os.geteuid():
            return f"{path} belongs to user {facts.st_uid}"
        if facts.st_mode & OTHERS:
            return f"{path} can be written by others (mode {stat.S_IMODE(facts.st_mode):04o})"
    return None


def read_own(file: Path, most_bytes: int) -> bytes | None:
    """Return what `file` holds, in a folder that nobody doubts; None unless it is a regular file of this user's alone.

    A link, a pipe, a device, a file of somebody else's or that others can write, and one of more than `most_bytes`
    bytes is not read.
    """
    with suppress(OSError):
        number = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(number, "rb") as stream:
            facts = os.fstat(number)
            if (stat.S_ISREG(facts.st_mode) and facts.st_uid == os.geteuid() and not facts.st_mode & OTHERS
                    and facts.st_size <= most_bytes):
                return stream.read(most_bytes)
    return None


def _passed(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Yield every folder and link that is passed on the way to `folder`, and whether it is the end of the way."""
    at, waiting, links = Path("/"), list(reversed(folder.parts[1:])), 0
    yield at, not waiting
    while waiting:
        part = waiting.pop()
        at = at.parent if part == ".." else at / part
        link = at.is_symlink()
        yield at, not waiting and not link
        if link:
            links += 1
            if links > MOST_LINKS:
                raise OSError(f"{folder} is a loop of links")
            target = Path(os.readlink(at))
            waiting += reversed(target.parts[1:] if target.is_absolute() else target.parts)
            at = Path("/") if target.is_absolute() else at.parent
