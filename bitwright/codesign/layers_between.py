"""Layers of a Program by themselves, with the codes that they read in the whole Program."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sim.functional.reference import simulate
from sim.ir.cut import cut
from sim.ir.program import Program

__all__ = ["layers_between"]

Codes = Mapping[str, NDArray[np.integer]]


def layers_between(program: Program, inputs: Codes, first: str | None, last: str | None) -> tuple[Program, Codes]:
    """Return the ops from `first` to `last` as a Program, and what it reads where the whole one reads `inputs`.

    Parameters
    ----------
    program : Program
    inputs : mapping of name to integer array, shape (N, channels, height, width)
        Codes of every input of `program`.
    first, last : str or None
        Names of ops, both included; without both the Program is returned as it is.

    Raises
    ------
    InputError
        As `sim.ir.cut.cut` does, or if the inputs do not fit.
    """
    if first is None and last is None:
        return program, inputs
    part, before, given = cut(program, first, last), cut(program, None, last), program.check_inputs(inputs)
    codes = simulate(before, {tensor.name: given[tensor.name] for tensor in before.inputs})
    return part, {tensor.name: codes[tensor.name] for tensor in part.inputs}
