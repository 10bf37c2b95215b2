"""Maps from accumulators to codes that are steeper than a multiplier can be, made as steep as it can be."""

from __future__ import annotations

from fractions import Fraction
from math import copysign, floor

__all__ = ["no_steeper"]

HALF = Fraction(1, 2)


def no_steeper(scale: float, bias: float, codes: tuple[int, int], limit: float, *, floors: bool) -> tuple[float, float]:
    """Return a scale and a bias of which every whole accumulator gets the same code, the scale within the limit.

    Where a unit of the accumulator is worth more than all codes together, at most one accumulator has a code between
    the first and the last; all others are clamped, whatever the scale is. This happens where training has shrunk the
    step of a tensor to next to nothing. Scales within the limit are returned as they are, and so are those for more
    codes than half of the limit.

    Parameters
    ----------
    scale, bias : float
        Codes per unit of the accumulator, and the code at its zero, finite.
    codes : (int, int)
        The first code and the last one, counted from the zero point.
    limit : float
    floors : bool
        Whether codes are rounded down instead of to the nearest.

    Examples
    --------
    Of 4096 acc - 8190.5 the accumulator 2 has code 2, less has the first code, and more the last one.

    >>> no_steeper(4096.0, -8190.5, (0, 15), 2048.0, floors=False)
    (2048.0, -4094.5)
    """
    first, last = codes
    if abs(scale) <= limit or last - first > limit / 2:
        return scale, bias
    place = floor((Fraction(first + last, 2) - Fraction(bias)) / Fraction(scale) + HALF)
    code = min(max(Fraction(scale) * place + Fraction(bias), first - HALF), last + HALF)
    steep = copysign(limit, scale)
    return steep, float((floor(code) if floors else code) - int(steep) * place)
