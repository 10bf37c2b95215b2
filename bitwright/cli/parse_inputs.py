"""Codes that a command runs on: from a file, or random ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bitwright.codesign.array_file import read_arrays
from bitwright.codesign.host_inputs import HostInput, host_inputs_beside
from sim.errors import InputError
from sim.io.bounds import shown
from sim.io.numpy_arrays import read_array, read_header
from sim.ir.program import Program

__all__ = ["MAX_HELD_CODES", "input_codes", "load_codes", "random_codes"]

MAX_HELD_CODES = 1 << 30
"""Most codes that a command holds at a time: those of all images in all tensors."""
MAX_BYTES = 8 * MAX_HELD_CODES + (1 << 20)
"""Largest input file [bytes]: the most codes, each of the widest type, and headers."""

Codes = NDArray[np.integer[Any]]


def input_codes(program: Program, path: Path | None, images: int, seed: int, place: Path) -> dict[str, Codes]:
    """Return the codes of a file, as `load_codes` does, or random ones if there is none, as `random_codes` does."""
    return random_codes(program, images, seed) if path is None else load_codes(path, program, place)


def load_codes(path: Path, program: Program, place: Path | None = None) -> dict[str, Codes]:
    """Read input codes of `program` from a `.npz` (an array for each input) or a `.npy` (the only input).

    Names, types and shapes are looked at before any code is read. Rows and sequences become maps. Images as the model
    reads them are arranged and padded as the summary says that lies beside the Program's file, `place`; they may have
    the model's names.

    Raises
    ------
    InputError
        If the file is missing, damaged, pickled or does not hold integer arrays, or these are not codes of at least
        one image of exactly the inputs of `program`, or of too many images.
    """
    inputs = ({tensor.name: HostInput(tensor, tensor.name) for tensor in program.inputs} if place is None else
              host_inputs_beside(place, program))
    called = {name: one.name for name, one in inputs.items()}

    def checked(held: Collection[str] | None) -> Sequence[str]:
        if held is not None and {*held} == {*called.values()}:
            return list(called.values())
        program.check_input_names(list(called)[:1] if held is None else held)
        called.update({name: name for name in called})
        return list(called)

    found = read_arrays(path, "input codes", "integer arrays", MAX_BYTES, checked, lambda stream, name: _array(
        stream, program, next(inputs[own] for own, read in called.items() if read == name)))
    return program.check_inputs({own: found[read] for own, read in called.items()})


def random_codes(program: Program, images: int, seed: int) -> dict[str, Codes]:
    """Draw uniform codes of every input, shape (images, C, H, W); the same for the same seed.

    Raises
    ------
    InputError
        If the images have more than MAX_HELD_CODES codes in all tensors.
    """
    _check_amount(program, images)
    rng = np.random.default_rng(seed)
    return {t.name: rng.integers(t.format.low, t.format.high, (images, *t.shape), np.int32, endpoint=True)
            for t in program.inputs}


def _array(stream: IO[bytes], program: Program, host: HostInput) -> Codes:
    """Read the array at the start of a stream that can go back there, after a look at its header."""
    shape, dtype = read_header(stream)
    if dtype.kind not in "iu":
        raise InputError(f"codes of '{host.name}' must be integers, not {shown(dtype)}")
    host.check(shape)
    if shape[0] < 1:
        raise InputError(f"it must hold at least one image, not {shape[0]}")
    _check_amount(program, shape[0])
    return host.prepare(read_array(stream))


def _check_amount(program: Program, images: int) -> None:
    """Refuse more images than are held at a time."""
    codes = images * sum(prod(tensor.shape) for tensor in program.tensors)
    if codes > MAX_HELD_CODES:
        took = "image takes" if images == 1 else "images take"
        raise InputError(f"{images} {took} {codes} codes in all tensors, and at most {MAX_HELD_CODES} are held at a "
                         "time")
