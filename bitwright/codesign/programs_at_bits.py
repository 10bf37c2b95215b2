"""Programs of one network at several bits, to be estimated."""

from __future__ import annotations

from collections.abc import Sequence

from sim.arch.machine import Machine
from sim.errors import InputError
from sim.ir.program import Program
from sim.ir.shapes import ChosenBits, Shapes

__all__ = ["OWN_BITS", "programs_at_bits"]

DEFAULT = (8, 8)
OWN_BITS = "its own bits"


def programs_at_bits(network: Program | Shapes, machine: Machine, bits: Sequence[tuple[int, int]] = (),
                     first_last_bits: int | None = None, digits: int | None = None) -> dict[str, Program]:
    """Return the Programs to estimate, by their bits.

    Parameters
    ----------
    network : Program or Shapes
        A Program has bits of its own.
    machine : Machine
    bits : sequence of (int, int), each 1..8
        Of weights and activations; one Program is made for each. None means 8/8.
    first_last_bits : int, 1..8, optional
        Of the weights of first and last layers and what the last ones read; 8 if None.
    digits : int, 1..machine.terms, optional
        Of every multiplier; as many as the machine has if None, which bounds all networks.

    Raises
    ------
    InputError
        If bits or digits are out of range, given twice, or given for a Program.
    """
    if isinstance(network, Program):
        if bits or first_last_bits is not None or digits is not None:
            raise InputError("what is quantized has bits and digits of its own, so that none can be chosen")
        return {OWN_BITS: network}
    for width in [*(width for pair in bits for width in pair), 8 if first_last_bits is None else first_last_bits]:
        if not 1 <= width <= 8:
            raise InputError(f"bits must be in 1..8, not {width}")
    if digits is not None and not 1 <= digits <= machine.terms:
        raise InputError(f"digits must be in 1..{machine.terms}, as machine '{machine.name}' has, not {digits}")
    if len({*bits}) < len(bits):
        raise InputError(f"bits must be given once each, not {', '.join(f'{w}/{a}' for w, a in bits)}")
    most = machine.terms if digits is None else digits
    return {f"{w}/{a}": network.program(ChosenBits(weights=w, activations=a, first_last=first_last_bits or 8,
                                                   digits=most), machine.arithmetic) for w, a in bits or [DEFAULT]}
