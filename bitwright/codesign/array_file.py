"""Arrays by name in a file of NumPy: those of a .npz, or the only one of a .npy."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import IO, TypeVar

from sim.errors import InputError
from sim.io.bounds import shown, shown_path
from sim.io.numpy_arrays import member_names
from sim.io.regular_file import open_regular

__all__ = ["read_arrays"]

Value = TypeVar("Value")


def read_arrays(path: Path, what: str, kind: str, most_bytes: int, names: Callable[[Collection[str] | None],
                Sequence[str]], read: Callable[[IO[bytes], str], Value]) -> dict[str, Value]:
    """Read the arrays of a file by their names.

    Parameters
    ----------
    path : Path
    what, kind : str
        What messages call the file, and its arrays: "input codes" and "integer arrays".
    most_bytes : int
        Size of the largest file that is read [bytes].
    names : callable
        Gives the names to be read; is given those that a .npz holds, None for a .npy, and refuses what does not fit.
    read : callable
        Reads the array of this name at the start of a stream that can go back there.

    Raises
    ------
    InputError
        If the file is missing, damaged or too large, or `names` or `read` refuse it.
    """
    with open_regular(path, what, most_bytes) as file:
        try:
            archive = file.read(2) == b"PK"
            file.seek(0)
            if archive:
                return _members(file, names, read)
            return {name: read(file, name) for name in names(None)}
        except InputError as error:
            reason = str(error)
        except Exception as error:  # a damaged header can make NumPy's parser raise anything
            text = shown(" ".join(str(error).split()) or type(error).__name__)
            reason = f"it is no .npz or .npy file of {kind}: {text}"
    raise InputError(f"cannot read {what} '{shown_path(path)}': {reason}")


def _members(file: IO[bytes], names: Callable[[Collection[str] | None], Sequence[str]],
             read: Callable[[IO[bytes], str], Value]) -> dict[str, Value]:
    found = {}
    with zipfile.ZipFile(file) as archive:
        members = member_names(archive)
        for name in names(members):
            with archive.open(members[name]) as stream:
                found[name] = read(stream, name)
    return found
