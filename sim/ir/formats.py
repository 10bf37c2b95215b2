"""Number formats: which integer codes a tensor may hold.

A tensor holds integer codes; the real value of a code is `scale * (code - zero_point)`, and only the host knows
the scale. Everything below the host works on codes alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.io.bounds import check_range, shown

__all__ = ["MAX_PLANES", "Format", "Kind", "Rounding", "check_codes"]

Kind = Literal["unsigned", "signed", "bipolar", "unit"]
Rounding = Literal["half_up", "half_even", "floor"]

MAX_BITS = 32
"""Widest code: the widest accumulator [bits]."""
MAX_PLANES = 8
"""Most bit planes of a code that an engine reads [bits]."""


@dataclass(frozen=True)
class Format:
    """A code format.

    Parameters
    ----------
    bits : int, 1..32
        Width of a code [bits]. Tensors that engines read have 1..8; a tensor that only the host reads may be as
        wide as the accumulator.
    kind : {"unsigned", "signed", "bipolar", "unit"}
        `unsigned` codes are 0..2**bits - 1, `signed` ones -2**(bits-1)..2**(bits-1) - 1. `bipolar` (dense weights)
        stores one bit s that means 2*s - 1; `unit` (depthwise weights) is always 1 and never stored.
    zero_point : int
        The code that means 0; inside the code range. `unit` has no such code and keeps 0 here.

    Raises
    ------
    InputError
        If the kind is unknown, the width not in 1..32, a one-bit kind wider, or the zero point no code.

    Examples
    --------
    >>> Format(4, "signed").low, Format(4, "signed").high
    (-8, 7)
    >>> Format(1, "signed").low, Format(1, "signed").high
    (-1, 0)
    """

    bits: int
    kind: Kind
    zero_point: int = 0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise InputError(f"format kind must be unsigned, signed, bipolar or unit, not {self.kind}")
        check_range(self.bits, 1, MAX_BITS, "format bits")
        if self.kind in ("bipolar", "unit") and self.bits != 1:
            raise InputError(f"a {self.kind} format has 1 bit, not {self.bits}")
        if self.zero_point and not self.low <= self.zero_point <= self.high:
            raise InputError(f"zero point must be a code in {self.low}..{self.high}, not {shown(self.zero_point)}")

    @property
    def low(self) -> int:
        """Smallest code."""
        if self.kind == "signed":
            return -(1 << (self.bits - 1))
        return 1 if self.kind == "unit" else 0

    @property
    def high(self) -> int:
        """Largest code."""
        return (1 << (self.bits - 1)) - 1 if self.kind == "signed" else (1 << self.bits) - 1

    @property
    def magnitude(self) -> int:
        """Largest absolute code: the A of the accumulator bound."""
        return max(-self.low, self.high)

    def __str__(self) -> str:
        zero = f" z={self.zero_point}" if self.zero_point else ""
        return f"{self.kind}{self.bits}{zero}"


def check_codes(codes: NDArray[np.integer], fmt: Format, what: str) -> None:
    """Refuse an array that is not made of codes of `fmt`.

    Raises
    ------
    TypeError
        If `codes` is not an integer array: a float has already been rounded somewhere.
    InputError
        If a code lies outside the format; the message names the first one and its index.
    """
    if codes.dtype.kind not in "iu":
        raise TypeError(f"{what}: codes must be integers, not {codes.dtype}")
    limits = np.iinfo(codes.dtype)
    if limits.min >= fmt.low and limits.max <= fmt.high:
        return
    if codes.size and (codes.min() < fmt.low or codes.max() > fmt.high):
        index = tuple(int(i) for i in np.argwhere((codes < fmt.low) | (codes > fmt.high))[0])
        raise InputError(f"{what}: code {int(codes[index])} at {index} is outside {fmt.low}..{fmt.high} of {fmt}")
