"""Codes that a command runs on: from a file, or random ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bitwright.codesign.array_file import read_arrays
from bitwright.codesign.host_padding import padding_beside
from quant.lowering.host_image import pad_image
from sim.errors import InputError
from sim.io.bounds import shown
from sim.io.numpy_arrays import read_array, read_header
from sim.ir.ops import Tensor
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

    Names, types and shapes are looked at before any code is read. Images that the host has not padded yet are padded as
    the summary says that lies beside the Program's file, `place`.

    Raises
    ------
    InputError
        If the file is missing, damaged, pickled or does not hold integer arrays, or these are not codes of at least
        one image of exactly the inputs of `program`, or of too many images.
    """
    tensors = {tensor.name: tensor for tensor in program.inputs}

    def checked(held: Collection[str] | None) -> Sequence[str]:
        program.check_input_names(list(tensors)[:1] if held is None else held)
        return list(tensors)

    return program.check_inputs(read_arrays(
        path, "input codes", "integer arrays", MAX_BYTES, checked,
        lambda stream, name: _array(stream, program, tensors[name], place)))


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


def _array(stream: IO[bytes], program: Program, tensor: Tensor, place: Path | None) -> Codes:
    """Read the array at the start of a stream that can go back there, after a look at its header."""
    shape, dtype = read_header(stream)
    if dtype.kind not in "iu":
        raise InputError(f"codes of '{tensor.name}' must be integers, not {shown(dtype)}")
    padding = None
    if shape[1:] != tensor.shape and len(program.inputs) == 1 and place is not None:
        padding = padding_beside(place, program)
    if padding is None or shape[1:] != padding.image.shape:
        padding = None
        tensor.check_batch(shape)
    if shape[0] < 1:
        raise InputError(f"it must hold at least one image, not {shape[0]}")
    _check_amount(program, shape[0])
    codes = read_array(stream)
    return codes if padding is None else pad_image(codes, padding)


def _check_amount(program: Program, images: int) -> None:
    """Refuse more images than are held at a time."""
    codes = images * sum(prod(tensor.shape) for tensor in program.tensors)
    if codes > MAX_HELD_CODES:
        took = "image takes" if images == 1 else "images take"
        raise InputError(f"{images} {took} {codes} codes in all tensors, and at most {MAX_HELD_CODES} are held at a "
                         "time")
