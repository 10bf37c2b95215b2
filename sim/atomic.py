"""Writing files so that a reader sees the old file or the new one, never a half."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from sim.errors import InputError

__all__ = ["atomic_write", "atomic_write_text", "made_folder"]


@contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a file beside `path` for writing bytes, and rename it to `path` when the block ends well.

    A symbolic link is followed: what it points to is replaced, not the link.

    Raises
    ------
    InputError
        If the place cannot be written, or holds a device, a pipe or a folder; `path` is then as it was, as it is after
        any other error in the block.
    """
    path = Path(path).resolve()
    if path.exists() and not path.is_file():
        raise InputError(f"cannot write {path}: it is there and not a regular file")
    beside = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
    try:
        with beside.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            beside.unlink()


def atomic_write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` by `atomic_write`."""
    with atomic_write(path) as stream:
        stream.write(text.encode())


def made_folder(path: str | Path) -> Path:
    """The folder `path`, made if it is not there.

    Raises
    ------
    InputError
        If it cannot be made.
    """
    place = Path(path)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot create the folder {place}: {error.strerror}") from error
    return place
