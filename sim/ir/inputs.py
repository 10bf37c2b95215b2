"""The check that every engine makes of what it is to run on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.io.bounds import shown
from sim.ir.formats import check_codes
from sim.ir.ops import Tensor
from sim.ir.program import Program

__all__ = ["MAX_IMAGE_CODES", "check_inputs", "check_names", "check_shape"]

MAX_IMAGE_CODES = 1 << 30
"""Of all tensors of a Program together: an engine that keeps every tensor, as the plain loops do, takes 4 GiB for an
image at most."""


def check_inputs(program: Program, inputs: Mapping[str, NDArray[np.integer]]) -> dict[str, NDArray[np.integer]]:
    """Refuse `inputs` that are not codes of the inputs of `program`; the arrays, in the order of `program.inputs`.

    The dict is the caller's own: whoever changes `inputs` later does not change what was checked.

    Raises
    ------
    InputError, TypeError
        As in `sim.functional.reference.simulate`.
    """
    if not isinstance(inputs, Mapping):
        raise TypeError(f"inputs must be a mapping of names to integer arrays, not {type(inputs).__name__}")
    _check_memory(program)
    given = dict(inputs)
    check_names(program, given)
    arrays: dict[str, NDArray[np.integer]] = {}
    images = -1
    for tensor in program.inputs:
        what, codes = f"input '{tensor.name}'", given[tensor.name]
        if not isinstance(codes, np.ndarray):
            raise TypeError(f"{what} must be an integer array, not {type(codes).__name__}")
        codes = np.asarray(codes)  # of a subclass, what it holds
        check_shape(tensor, codes.shape)
        if images not in (-1, len(codes)):
            raise InputError(f"{what} must have {images} images like the others, not {len(codes)}")
        images = len(codes)
        check_codes(codes, tensor.format, what)
        arrays[tensor.name] = codes
    return arrays


def _check_memory(program: Program) -> None:
    codes = sum(prod(tensor.shape) for tensor in program.tensors)
    if codes > MAX_IMAGE_CODES:
        raise InputError(f"engines take at most {MAX_IMAGE_CODES} codes an image in all tensors together, not {codes}")


def check_names(program: Program, names: Iterable[object]) -> None:
    """Refuse `names` that are not those of the inputs of `program`."""
    given, expected = {*names}, [tensor.name for tensor in program.inputs]
    if given != {*expected}:
        raise InputError(f"inputs must be {_listed(expected)}, not {_listed(sorted(map(shown, given)))}")


def check_shape(tensor: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse a shape that is not that of codes of `tensor` for any number of images."""
    if len(shape) != 4 or shape[1:] != tensor.shape:
        expected = ", ".join(map(str, tensor.shape))
        raise InputError(f"input '{tensor.name}' must have shape (N, {expected}), not {shown(shape)}")


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"
