"""The Program of a network to verify: its own, or one of chosen bits with realistic numbers and no training."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from bitwright.codesign.programs_at_bits import programs_at_bits
from bitwright.codesign.realistic_numbers import with_realistic_numbers
from sim.arch.machine import Machine
from sim.ir.program import Program
from sim.ir.shapes import Shapes

__all__ = ["program_with_inputs"]

Codes = Mapping[str, NDArray[np.integer]]


def program_with_inputs(network: Program | Shapes, machine: Machine, inputs: Callable[[Program], Codes], *,
                        bits: tuple[int, int] | None = None, first_last_bits: int | None = None,
                        digits: int | None = None, seed: int = 0) -> tuple[Program, Codes]:
    """Return the Program of a network, and the codes that it reads.

    Parameters
    ----------
    network : Program or Shapes
        A Program has numbers and bits of its own.
    machine : Machine
    inputs : callable
        Gives the codes of a Program's inputs.
    bits : (int, int), each 1..8, optional
        Of weights and activations of what is not quantized; 8/8 if None.
    first_last_bits : int, 1..8, optional
        Of the weights of first and last layers; 8 if None.
    digits : int, optional
        Of the multipliers; as many as the machine has if None.
    seed : int
        Of the numbers of what has none of its own.

    Raises
    ------
    InputError
        If bits or digits are out of range, or given for a Program.
    """
    (program,) = programs_at_bits(network, machine, [] if bits is None else [bits], first_last_bits, digits).values()
    codes = inputs(program)
    return (program if isinstance(network, Program) else with_realistic_numbers(program, codes, seed)), codes
