"""The requantizer of a product of two tensors: (a - za) * (b - zb) written out, shifted to the codes of the output."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, frexp, ldexp

import numpy as np

from quant.lowering.requantizer_fit import FittedRequant
from quant.lowering.values import Output, Residual, Sums
from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.signed_digits import digits_of, multiplier, nearest_digits

__all__ = ["FittedProduct", "fit_product"]

TOLERANCE = 2.0**-16
"""How far the three steps may be from a power of two, as a share of it: what single precision rounds."""


@dataclass(frozen=True, eq=False)
class FittedProduct:
    """Integers of a product, ready for a Conv.

    Attributes
    ----------
    requant : FittedRequant
    gate : int
        By how much the product of the codes is shifted to the left [bits].
    """

    requant: FittedRequant
    gate: int


def fit_product(sums: Sums, residual: Residual, output: Output, arithmetic: Arithmetic) -> FittedProduct:
    """Return the integers with which the requantizer makes output codes of the product of accumulator and residual.

    Raises
    ------
    InputError
        If the output's step is not that of the product times a power of two, a zero point takes more digits than there
        are, or an operand has no code that means 0.
    """
    if sums.bias.any() or residual.meaning.rest.any():
        raise InputError("a tensor of 1 signed bit, which has no code for 0, cannot be multiplied")
    octaves = _octaves(output.gain * float(sums.scale[0]) * residual.meaning.scale)
    shift, gate = max(-octaves, 0), max(octaves, 0)
    zeros, other = [int(zero) for zero in sums.zero], int(residual.meaning.codes.max())
    constant = output.bias - output.format.zero_point + (0.5 if arithmetic.rounding == "floor" else 0.0)
    rest = floor(ldexp(constant, shift) + 0.5)
    m = [_digits(-other << gate, arithmetic.terms, arithmetic.window)] * len(zeros)
    r = [_digits(-zero << gate, arithmetic.terms, arithmetic.residual_window) for zero in zeros]
    offset = np.array([(zero * other << gate) + rest for zero in zeros], np.int64)
    return FittedProduct(FittedRequant(digits_of(m), digits_of(r), np.full(len(zeros), shift, np.int64), offset,
                                       np.zeros(len(zeros))), gate)


def _octaves(share: float) -> int:
    """Return the exponent of a power of two, but for roundings."""
    mantissa, exponent = frexp(share)
    if mantissa > 0.75:
        mantissa, exponent = mantissa / 2, exponent + 1
    if abs(2 * mantissa - 1) > TOLERANCE:
        raise InputError("the step of a product must be that of its operands, multiplied, times a power of two, not "
                         f"times {1 / share:g}")
    return exponent - 1


def _digits(number: int, terms: int, window: int) -> list[int]:
    """Return a zero point as digits."""
    found = nearest_digits(float(number), terms, window)
    if multiplier(found) != number:
        raise InputError(f"zero points of operands must be sums of at most {terms} powers of two, not {abs(number)}")
    return found
