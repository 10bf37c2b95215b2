"""Real inputs of a model from a file."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bitwright.codesign.array_file import read_arrays
from sim.errors import InputError
from sim.io.bounds import listed, shown
from sim.io.numpy_arrays import read_array, read_header

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
    def checked(held: Collection[str] | None) -> Sequence[str]:
        if held is None and len(names) != 1:
            raise InputError(f"a model of {len(names)} inputs needs a .npz with an array for each")
        if held is not None and {*held} != {*names}:
            raise InputError(f"it must hold the arrays {listed(sorted(names))}, not {listed(sorted(held))}")
        return names

    return read_arrays(path, "inputs", "numbers", MAX_BYTES, checked, _numbers)


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
