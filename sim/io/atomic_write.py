"""Writing files and folders so that a reader sees the old one or the new one, never a half."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from sim.errors import InputError
from sim.io.bounds import shown_path

__all__ = ["atomic_folder", "atomic_write", "atomic_write_text", "ensure_folder"]

UNFINISHED = re.compile(r"\.bitwright-[0-9a-f]{16}\.tmp")
"""Names of files and folders that are being written. Who writes one holds a lock on it, which ends with the process."""


@contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a file beside `path` for writing bytes, and rename it to `path` when the block ends well.

    A symbolic link is followed: what it points to is replaced, not the link. What killed processes left unfinished in
    the same folder is removed first.

    Raises
    ------
    InputError
        If the place cannot be written, or holds a device, a pipe or a folder; `path` is then as it was, as it is after
        any other error in the block.
    """
    place = _place(path)
    try:
        _remove_unfinished(place.parent)
        number, beside = _begun(place.parent, _new_file)
        try:
            with os.fdopen(number, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
                beside.replace(place)  # while the lock is held
        finally:
            with suppress(OSError):
                beside.unlink()
    except OSError as error:
        raise InputError(f"cannot write {shown_path(place)}: {error.strerror}") from error


@contextmanager
def atomic_folder(place: Path) -> Iterator[Path]:
    """Make a folder beside `place`, and rename it to `place` when the block ends well; one that is there stays.

    What killed processes left unfinished beside it is removed first.
    """
    _remove_unfinished(place.parent)
    number, beside = _begun(place.parent, _new_folder)
    try:
        yield beside
        if not place.exists():
            beside.rename(place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        os.close(number)


def atomic_write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` by `atomic_write`."""
    with atomic_write(path) as stream:
        stream.write(text.encode())


def ensure_folder(path: str | Path) -> Path:
    """Return the folder `path`, and make it if it is not there.

    Raises
    ------
    InputError
        If it cannot be made.
    """
    place = Path(path)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except ValueError:
        raise InputError(f"cannot create the folder {shown_path(place)}: none can have such a name") from None
    except OSError as error:
        raise InputError(f"cannot create the folder {shown_path(place)}: {error.strerror}") from error
    return place


def _place(path: str | Path) -> Path:
    """Return where `path` leads, if a file may be there."""
    try:
        place = Path(os.path.realpath(path))
        if not stat.S_ISREG(place.stat().st_mode):
            raise InputError(f"cannot write {shown_path(place)}: it is there and not a regular file")
    except FileNotFoundError:
        return place
    except InputError:
        raise
    except ValueError:
        raise InputError(f"cannot write {shown_path(path)}: no file can have such a name") from None
    except OSError as error:
        raise InputError(f"cannot write {shown_path(path)}: {error.strerror}") from None
    return place


def _new_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def _new_folder(path: Path) -> int | None:
    """Lock a new folder; return None if somebody has removed it already."""
    path.mkdir()
    with suppress(FileNotFoundError):
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return None


def _begun(folder: Path, begin: Callable[[Path], int | None]) -> tuple[int, Path]:
    """Return the number of a new file or folder that is locked, and its path."""
    while True:
        beside = folder / f".bitwright-{secrets.token_hex(8)}.tmp"
        number = begin(beside)
        if number is None:
            continue
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.lexists(beside):
                return number, beside
        except BlockingIOError:
            pass
        except OSError:  # a file system without locks: nobody can take it for something that was left behind
            return number, beside
        os.close(number)  # somebody took it for something that was left behind, before it was locked


def _remove_unfinished(folder: Path) -> None:
    """Remove what nobody writes any more; what is not ours to remove stays."""
    found: list[tuple[str, bool]] = []
    with suppress(OSError), os.scandir(folder) as entries:
        found += ((entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries
                  if UNFINISHED.fullmatch(entry.name))
    for name, is_folder in found:
        with suppress(OSError):
            kind = os.O_RDONLY | os.O_DIRECTORY if is_folder else os.O_RDWR | os.O_NONBLOCK
            number = os.open(name, kind | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if is_folder:
                    shutil.rmtree(name)
                else:
                    os.unlink(name)
            finally:
                os.close(number)
