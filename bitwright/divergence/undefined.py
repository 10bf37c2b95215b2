"""Which planes of which codes an op has left undefined, and what part of the hardware they have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bitwright.divergence.hypothesis import Diagnosis, Mask, Scope

__all__ = ["undefined_bits"]


def undefined_bits(undefined: Mask, planes: NDArray[np.int64], bits: int, scopes: Sequence[Scope],
                   tried: int) -> Diagnosis:
    """Describe codes with undefined bits that an op has made of defined ones.

    Parameters
    ----------
    undefined : bool array, shape (N, O, rows, columns)
    planes : int64 array of the same shape
        The undefined planes of each code, a bit each.
    bits : int
        Planes of a code.
    scopes : sequence of Scope
    tried : int
        Hypotheses that were tried before.
    """
    some = sorted({plane for plane in range(bits) if (planes[undefined] >> plane & 1).any()})
    which = ("all planes" if len(some) == bits else f"plane {some[0]}" if len(some) == 1
             else f"planes {', '.join(map(str, some))}")
    touched = undefined.any(axis=0)
    exact = [text for text, mask in scopes if (mask == touched).all()]
    around = [(int(np.count_nonzero(mask)), text) for text, mask in scopes if not (touched & ~mask).any()]
    count = int(np.count_nonzero(undefined))
    where = exact[0] if exact else min(around)[1]
    share = "all codes" if exact else f"{int(touched.sum())} of {min(around)[0]} codes"
    return Diagnosis("undefined bits", f"{which} of {share} there have undefined bits", where, count, tried, ())
