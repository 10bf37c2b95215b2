"""Opening the files that a user names: regular ones of bounded size, and nothing that blocks or never ends."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from sim.errors import InputError
from sim.io.bounds import shown_path

__all__ = ["MIB", "open_regular", "read_regular", "read_text"]

CHUNK = 1 << 16
"""Read at a time beyond what a file says it has [bytes]."""
MIB = 1 << 20
"""A mebibyte [bytes]."""

FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
"""A FIFO without a writer must not be waited for, and a terminal must not become ours."""


def open_regular(path: str | Path, what: str, most_bytes: int) -> BinaryIO:
    """Open a file for reading after looking at what was opened.

    Parameters
    ----------
    path : str or Path
    what : str
        What the file is for, as errors say it: "program", "machine".
    most_bytes : int
        Largest size [bytes]. A file may still grow while it is read: `read_regular` looks again.

    Raises
    ------
    InputError
        If there is no such file, its path is no legal one, it cannot be read, it is a folder, a device, a pipe or a
        socket, or it is larger than `most_bytes`.
    """
    try:
        number = os.open(path, FLAGS)
    except FileNotFoundError:
        raise InputError(f"no {what} '{shown_path(path)}'") from None
    except ValueError:
        raise InputError(f"cannot read {what} '{shown_path(path)}': no file can have such a name") from None
    except OSError as error:
        reason = "it is not a regular file" if error.errno == errno.ENXIO else error.strerror
        raise InputError(f"cannot read {what} '{shown_path(path)}': {reason}") from None
    try:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"cannot read {what} '{shown_path(path)}': it is not a regular file")
        _check_size(path, what, status.st_size, most_bytes)
        return os.fdopen(number, "rb")
    except InputError:
        os.close(number)
        raise


def read_regular(path: str | Path, what: str, most_bytes: int) -> bytes:
    """Return the bytes of a file; parameters and errors as for `open_regular`."""
    with open_regular(path, what, most_bytes) as file:
        try:
            # A size larger than the file's own would be allocated whole; files of the kernel and growing ones say less.
            data = file.read(os.fstat(file.fileno()).st_size + 1)
            while len(data) <= most_bytes and (more := file.read(CHUNK)):
                data += more
        except OSError as error:
            raise InputError(f"cannot read {what} '{shown_path(path)}': {error.strerror}") from None
    _check_size(path, what, len(data), most_bytes)
    return data


def read_text(path: str | Path, what: str, most_bytes: int) -> str:
    """Return the text of a file; parameters and errors as for `open_regular`.

    Raises
    ------
    InputError
        Also if the file is not UTF-8.
    """
    try:
        return read_regular(path, what, most_bytes).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read {what} '{shown_path(path)}': it is not UTF-8, byte {error.start} is "
                         f"{error.object[error.start]:#04x}") from None


def _check_size(path: str | Path, what: str, size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise InputError(f"cannot read {what} '{shown_path(path)}': it is larger than {most_bytes:,} bytes")
