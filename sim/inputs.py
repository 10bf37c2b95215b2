"""The check that every engine makes of what it is to run on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.formats import check_codes
from sim.program import Program

__all__ = ["check_inputs"]


def check_inputs(program: Program, inputs: Mapping[str, NDArray[np.integer]]) -> int:
    """Refuse `inputs` that are not codes of the inputs of `program`; the number of images N.

    Raises
    ------
    InputError, TypeError
        As in `sim.simulate.simulate`.
    """
    names = [tensor.name for tensor in program.inputs]
    if set(inputs) != set(names):
        raise InputError(f"inputs must be {_listed(names)}, not {_listed(sorted(inputs))}")
    images = -1
    for tensor in program.inputs:
        shape = inputs[tensor.name].shape
        if len(shape) != 4 or shape[1:] != tensor.shape:
            expected = ", ".join(map(str, tensor.shape))
            raise InputError(f"input '{tensor.name}' must have shape (N, {expected}), not {shape}")
        if images not in (-1, shape[0]):
            raise InputError(f"input '{tensor.name}' must have {images} images like the others, not {shape[0]}")
        images = shape[0]
        check_codes(inputs[tensor.name], tensor.format, f"input '{tensor.name}'")
    return max(images, 0)


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"
