"""Real inputs of a model from a file."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sim.errors import InputError
from sim.io.bounds import listed, shown, shown_path
from sim.io.numpy_arrays import member_names, read_array, read_header
from sim.io.regular_file import open_regular

__all__ = ["load_inputs"]

MAX_NUMBERS = 1 << 27
"""Most numbers in a file."""
MAX_BYTES = 8 * MAX_NUMBERS + (1 << 20)
"""Largest file [bytes]: the most numbers, each of the widest type, and headers."""


def load_inputs(path: Path, names: Sequence[str]) -> dict[str, Tensor]:
    """Read real numbers, float64, by the names of a model's inputs.

    Parameters
    ----------
    path : Path
        A `.npz` with an array for each input, or a `.npy` for the only one.
    names : sequence of str

    Raises
    ------
    InputError
        If the file is missing, damaged, pickled or too large, or its arrays are not those of the inputs, or hold
        anything but finite numbers.
    """
    with open_regular(path, "inputs", MAX_BYTES) as file:
        try:
            archive = file.read(2) == b"PK"
            file.seek(0)
            return _members(file, names) if archive else _only(file, names)
        except InputError as error:
            reason = str(error)
        except Exception as error:  # a damaged header can make NumPy's parser raise anything
            what = shown(" ".join(str(error).split()) or type(error).__name__)
            reason = f"it is no .npz or .npy file of numbers: {what}"
    raise InputError(f"cannot read inputs '{shown_path(path)}': {reason}")


def _members(file: IO[bytes], names: Sequence[str]) -> dict[str, Tensor]:
    with zipfile.ZipFile(file) as archive:
        members = member_names(archive)
        if members.keys() != set(names):
            raise InputError(f"it must hold the arrays {listed(sorted(names))}, not {listed(sorted(members))}")
        found = {}
        for name in names:
            with archive.open(members[name]) as stream:
                found[name] = _numbers(stream, name)
        return found


def _only(file: IO[bytes], names: Sequence[str]) -> dict[str, Tensor]:
    if len(names) != 1:
        raise InputError(f"a model of {len(names)} inputs needs a .npz with an array for each")
    return {names[0]: _numbers(file, names[0])}


def _numbers(stream: IO[bytes], name: str) -> Tensor:
    shape, dtype = read_header(stream)
    if dtype.kind not in "iuf":
        raise InputError(f"'{shown(name)}' must hold numbers, not {shown(dtype)}")
    if np.prod(shape, dtype=object) > MAX_NUMBERS:
        raise InputError(f"'{shown(name)}' may hold {MAX_NUMBERS} numbers, not {np.prod(shape, dtype=object)}")
    values: NDArray[Any] = read_array(stream).astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"'{shown(name)}' must hold finite numbers")
    return torch.from_numpy(values)
