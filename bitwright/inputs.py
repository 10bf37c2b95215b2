"""Codes that a command runs on: from a file, or random ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.inputs import check_inputs
from sim.program import Program

__all__ = ["load_codes", "random_codes"]


def load_codes(path: Path, program: Program) -> dict[str, NDArray[np.integer]]:
    """Input codes of `program` from a `.npz` (an array for each input) or a `.npy` (the only input).

    Raises
    ------
    InputError
        If the file is missing, damaged, pickled or does not hold integer arrays, or these are not codes of at least
        one image of exactly the inputs of `program`.
    """
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = dict(loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else {program.inputs[0].name: loaded}
    except FileNotFoundError:
        raise InputError(f"no file '{path}' with input codes") from None
    except Exception as error:  # a damaged header can make NumPy's parser raise anything
        reason = " ".join(str(error).split())
        raise InputError(f"'{path}' is not a .npz or .npy file of integer arrays: {reason}") from None
    for name, array in arrays.items():
        if not np.issubdtype(array.dtype, np.integer):
            raise InputError(f"'{path}': codes of '{name}' must be integers, not {array.dtype}")
    checked = check_inputs(program, arrays)
    if not len(checked[program.inputs[0].name]):
        raise InputError(f"'{path}' must hold at least one image, not 0")
    return checked


def random_codes(program: Program, images: int, seed: int) -> dict[str, NDArray[np.integer]]:
    """Uniform codes of every input, shape (images, C, H, W); the same for the same seed."""
    rng = np.random.default_rng(seed)
    return {t.name: rng.integers(t.format.low, t.format.high, (images, *t.shape), np.int32, endpoint=True)
            for t in program.inputs}
