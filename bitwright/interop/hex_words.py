"""Codes as text that Verilog's `$readmemh` reads: a word per line, in two's complement."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["bit_lines", "hex_lines"]

AT_ONCE = 1 << 18
"""Words that are written at once."""
DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)


def hex_lines(codes: NDArray[np.integer], bits: int) -> Iterator[bytes]:
    """Write codes in C order, each with as many digits as its bits need.

    Parameters
    ----------
    codes : integer array
        Each in -2**(bits - 1)..2**bits - 1.
    bits : int, 1..62
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


def bit_lines(words: NDArray[np.uint8]) -> Iterator[bytes]:
    """Write words of any width, bit by bit.

    Parameters
    ----------
    words : uint8 array of bits, shape (words, width)
        Lowest bit first.

    Examples
    --------
    >>> b"".join(bit_lines(np.array([[1, 0, 0, 0, 1], [0, 1, 1, 1, 0]], np.uint8)))
    b'11\\n0e\\n'
    """
    count = -(-words.shape[1] // 4)
    step = max(1, AT_ONCE // max(1, count))
    for start in range(0, len(words), step):
        some = words[start : start + step]
        padded = np.zeros((len(some), 4 * count), np.int64)
        padded[:, : some.shape[1]] = some
        digits = padded.reshape(len(some), count, 4) @ (1, 2, 4, 8)
        lines = np.full((len(some), count + 1), ord("\n"), np.uint8)
        lines[:, :count] = DIGITS[digits[:, ::-1]]
        yield lines.tobytes()
