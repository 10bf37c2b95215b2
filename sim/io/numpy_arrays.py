"""Arrays in `.npy` and `.npz` files that others wrote: headers are looked at before any data, and nothing is unpickled.

A damaged header can make NumPy's parser raise anything: who reads a user's file turns it into a sentence.
"""

from __future__ import annotations

import zipfile
from io import BytesIO
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.io.bounds import shown

__all__ = ["member_names", "read_array", "read_header"]

HEADER_BYTES = 1 << 16
READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def member_names(archive: zipfile.ZipFile) -> dict[str, str]:
    """Return the members of a `.npz` by the names of their arrays.

    Raises
    ------
    InputError
        If a member is no array, or a name is there twice.
    """
    members: dict[str, str] = {}
    for member in archive.namelist():
        name = member.removesuffix(".npy")
        if name == member:
            raise InputError(f"member '{shown(member)}' is no array")
        if name in members:
            raise InputError(f"member '{shown(member)}' is there twice")
        members[name] = member
    return members


def read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the shape and the type of the array at the start of a stream, which is back there afterwards."""
    head = BytesIO(stream.read(HEADER_BYTES))
    version = np.lib.format.read_magic(head)
    if version not in READERS:
        raise ValueError(f"version {version[0]}.{version[1]} of the format is for other arrays")
    shape, _, dtype = READERS[version](head)
    stream.seek(0)
    return shape, dtype


def read_array(stream: IO[bytes]) -> NDArray[Any]:
    """Return the array that a stream holds, and nothing else; look at its header first."""
    array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    if stream.read(1):
        raise ValueError("there is something after the array")
    return array
