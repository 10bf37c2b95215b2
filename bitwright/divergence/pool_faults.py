"""Faults of max pooling: what it compares, and what it takes for the largest."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from bitwright.divergence.conv_run import Array, in_format
from bitwright.divergence.hypothesis import Hypothesis
from sim.ir.formats import Format
from sim.ir.ops import Pool

__all__ = ["pool_faults"]

Choose = Callable[[Array], Array]


def pool_faults(pool: Pool, read: Array, fmt: Format, size: tuple[int, int]) -> Iterator[Hypothesis]:
    """Yield what a Pool gives that chooses another code of its window.

    Parameters
    ----------
    pool : Pool
    read : int64 array, shape (N, C, H, W)
        The parts that it reads.
    fmt : Format
    size : (rows, columns)
        Of its output.
    """
    beyond = 1 << 40
    windows, inside = _windows(pool, read, size)
    unsigned = windows & ((1 << fmt.bits) - 1)
    variants: dict[str, Array] = {
        "the smallest code is taken, not the largest": np.where(inside, windows, beyond).min(axis=0),
        "pads win, as zeros": np.where(inside, windows, 0).max(axis=0),
        "the first tap is taken": windows[0], "the last tap is taken": windows[-1]}
    if fmt.kind == "signed":
        variants["signed codes are compared as unsigned ones"] = in_format(
            np.where(inside, unsigned, -1).max(axis=0), fmt)
    for tap in range(len(windows)):
        rest = np.delete(np.where(inside, windows, -beyond), tap, axis=0)
        if len(rest):
            variants[f"tap {tap} is not compared"] = rest.max(axis=0)
    before = np.where(inside, windows, -beyond).max(axis=0)
    variants["the largest of this window and of the one before"] = np.maximum(before, np.roll(before, 1, axis=3))
    for bit in range(fmt.bits):
        cleared = in_format(unsigned & ~(1 << bit), fmt)
        variants[f"plane {bit} is not compared and lost"] = np.where(inside, cleared, -beyond).max(axis=0)
    for text, codes in variants.items():
        yield Hypothesis("pooling", text, in_format(codes, fmt))


def _windows(pool: Pool, read: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    """Return the codes of every tap, shape (taps, N, C, rows, columns), and whether they lie inside the map."""
    top, left, bottom, right = pool.pads
    padded = np.pad(read, ((0, 0), (0, 0), (top, bottom), (left, right)))
    inside = np.pad(np.ones_like(read), ((0, 0), (0, 0), (top, bottom), (left, right)))
    found = [[array[:, :, row : row + (size[0] - 1) * pool.stride[0] + 1 : pool.stride[0],
                    column : column + (size[1] - 1) * pool.stride[1] + 1 : pool.stride[1]]
              for row in range(pool.kernel[0]) for column in range(pool.kernel[1])] for array in (padded, inside)]
    return np.stack(found[0]), np.stack(found[1]) != 0
