"""One code of a Program, explained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitwright.codesign.costs import plan as place
from sim.arch.machine import Machine
from sim.functional.reference import simulate
from sim.inspect.explain import Explanation, explain_code
from sim.inspect.writers import Pixel
from sim.ir.program import Program

__all__ = ["explain"]


def explain(program: Program, machine: Machine | str | Path, inputs: Mapping[str, NDArray[np.integer]], tensor: str,
            *, image: int = 0, channel: int = 0, y: int = 0, x: int = 0) -> Explanation:
    """Explain one code of a tensor: what it is made of, step by step, and where and when the machine makes it.

    Parameters
    ----------
    program : Program
    machine : Machine, str or Path
        A built-in machine by its name (tiny, edge, large), or a YAML file that describes one.
    inputs : mapping of name to integer array, shape (N, channels, height, width)
        Codes of every input.
    tensor : str
    image, channel, y, x : int
        The code in this tensor.

    Returns
    -------
    Explanation
        The taps with their codes and weights, the accumulator, multiplier, offset, shift, residual, rounding, clamp
        and table index; row, column and cycles of the element.

    Raises
    ------
    InputError
        If the Program does not fit on the machine, an input is missing or wrong, or there is no such code.
    """
    planned = place(program, machine)
    codes = simulate(planned.program, planned.program.check_inputs(inputs))
    return explain_code(planned, codes, tensor, image, Pixel(channel, y, x))
