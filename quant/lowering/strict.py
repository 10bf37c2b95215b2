"""The gate of strict power-of-two networks: looked up in what the machine executes, not hoped for."""

from __future__ import annotations

from quant.lowering.lower import Lowered
from sim.errors import InputError

__all__ = ["beyond_one_shift", "check_powers_of_two"]


def check_powers_of_two(lowered: Lowered) -> None:
    """Refuse a network of which a multiplication is more than one exact shift.

    Steps that are powers of two do not suffice: in a model that `quantize` did not make, an average over 49 pixels or a
    BatchNorm may multiply by other numbers. A network that passes computes on the machine exactly what its model does.

    Parameters
    ----------
    lowered : Lowered
        From `lower_with_report`.

    Raises
    ------
    InputError
        With every op whose multipliers take several digits, or are not exact.
    """
    found = beyond_one_shift(lowered)
    if found:
        raise InputError(f"strict powers of two take one exact shift for each multiplication, but {', '.join(found)}")


def beyond_one_shift(lowered: Lowered) -> list[str]:
    """Return the ops that take more than one exact shift, in words, in the order in which they run.

    The errors of other ops are 0, so that no code differs from the model's. Digits of products are zero points of their
    operands, which are exact.
    """
    found = []
    products = {conv.name for conv in lowered.program.convs if conv.gate is not None}
    for name, digits in lowered.digits.items():
        if name in products:
            continue
        error = lowered.errors[name].error if name in lowered.errors else 0.0
        if digits > 1:
            found.append(f"'{name}' takes {digits} digits")
        elif error > 0:
            found.append(f"'{name}' is up to {error:.3g} codes off")
    return found
