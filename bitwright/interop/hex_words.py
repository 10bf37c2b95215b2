"""Codes as text that Verilog's `$readmemh` reads: a word per line, in two's complement."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["hex_lines"]

AT_ONCE = 1 << 18
"""Words that are written at once."""
DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)


def hex_lines(codes: NDArray[np.integer], bits: int) -> Iterator[bytes]:
    """Write codes in C order, each with as many digits as its bits need.

    Parameters
    ----------
    codes : integer array
        Each in -2**(bits - 1)..2**bits - 1.
    bits : int, 1..32
        Width of a word; of a negative code, the lowest bits of its two's complement.

    Examples
    --------
    >>> b"".join(hex_lines(np.array([-1, 7, -16]), 5))
    b'1f\\n07\\n10\\n'
    """
    count = -(-bits // 4)
    shifts = 4 * np.arange(count - 1, -1, -1)
    flat = np.ascontiguousarray(codes).reshape(-1)
    for start in range(0, flat.size, AT_ONCE):
        words = flat[start : start + AT_ONCE].astype(np.int64) & ((1 << bits) - 1)
        lines = np.full((words.size, count + 1), ord("\n"), np.uint8)
        lines[:, :count] = DIGITS[words[:, None] >> shifts & 15]
        yield lines.tobytes()
