"""`Arithmetic`: how a Program accumulates and rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from sim.errors import InputError
from sim.io.bounds import check_range, shown
from sim.ir.formats import Rounding

__all__ = ["MAX_REQUANT_BITS", "Arithmetic"]

MAX_REQUANT_BITS = 53
"""acc_bits + window + 2 may not pass the float64 mantissa, so that float64 reproduces every sum exactly."""
MAX_TERMS = 64
"""Most digits that a multiplier may have: more than there are exponents."""


@dataclass(frozen=True)
class Arithmetic:
    """The numbers on which every accumulator and requantizer of a Program rests.

    Parameters
    ----------
    acc_bits : int, 2..32
        Accumulator width [bits].
    window : int, at least 1
        Exponents of M are 0..window - 1; acc_bits + window <= 51.
    terms : int, 1..64
        Most digits a multiplier may have.
    rounding : {"half_up", "half_even", "floor"}
    wrap : bool
        Accumulate modulo 2**acc_bits instead of proving that no sum overflows.

    Raises
    ------
    InputError
        If a number or the rounding is not one of these.

    Examples
    --------
    >>> Arithmetic(acc_bits=24, window=10).requant_bits
    36
    """

    acc_bits: int = 32
    window: int = 12
    terms: int = 4
    rounding: Rounding = "half_up"
    wrap: bool = False

    def __post_init__(self) -> None:
        if self.rounding not in get_args(Rounding):
            raise InputError(f"arithmetic: rounding must be half_up, half_even or floor, not {self.rounding}")
        check_range(self.acc_bits, 2, 32, "arithmetic: acc_bits")
        most = MAX_REQUANT_BITS - 2 - self.acc_bits
        if not 1 <= self.window <= most:
            raise InputError(f"arithmetic: window must be in 1..{most} with acc_bits {self.acc_bits}, "
                             f"not {shown(self.window)}")
        check_range(self.terms, 1, MAX_TERMS, "arithmetic: terms")

    @property
    def offset_bits(self) -> int:
        """Width of an offset, |offset| < 2**(offset_bits - 1); shifts are below it [bits]."""
        return self.acc_bits + self.window

    @property
    def requant_bits(self) -> int:
        """Width at which no prefix of the requantizer's sum can overflow [bits]."""
        return self.offset_bits + 2

    @property
    def residual_window(self) -> int:
        """Exponents of R are below this; at most 0 where R can only be 0.

        A code of the residual has 8 bits and |R| < 2**residual_window, so |R * r| stays below
        2**(acc_bits + window - 1), which leaves the requantizer's sum at `requant_bits` as without a residual.

        >>> Arithmetic(acc_bits=32, window=12).residual_window
        35
        """
        return self.offset_bits - 9
