"""Tell a wrong sum from a wrong requantizer, and say in which situations a requantizer is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sim.functional.one_op import Requantizer

__all__ = ["suspect"]

Integers = NDArray[np.int64]
Marks = NDArray[np.bool_]


def suspect(sums: Integers, found: Integers, wrong: Marks, came: Marks, requantizer: Requantizer | None,
            found_sums: Integers, sums_came: Marks) -> str:
    """Say what is wrong in a tensor of which some codes differ.

    Parameters
    ----------
    sums : int64 array, shape (N, O, H, W)
        Of the reference.
    found : int64 array of the same shape
        Codes of the hardware.
    wrong, came : bool arrays of the same shape
        Which of them differ, and which have come.
    requantizer : Requantizer or None
        Of the reference.
    found_sums, sums_came : int64 and bool arrays of the same shape
        Sums of the hardware, and where they are known.
    """
    known = wrong & sums_came
    if known.any():
        bad = int(np.count_nonzero(known & (found_sums != sums)))
        total = int(np.count_nonzero(known))
        if bad:
            place = tuple(int(index) for index in np.argwhere(known & (found_sums != sums))[0])
            return (f"the sum is wrong at {bad} of these {total} codes; first at {place}: {int(found_sums[place])}, "
                    f"expected {int(sums[place])}")
        return ("the requantizer is wrong: the sums of these codes are right"
                f"{_situations(sums, wrong, came, requantizer)}")
    twice = _two_codes_of_one_sum(sums, found, came)
    if twice is not None:
        channel, total, codes = twice
        return (f"the sum is suspected: in channel {channel} the expected sum {total} has become "
                f"{' and '.join(map(str, codes))}")
    return ("the requantizer is suspected: equal sums of a channel have become equal codes"
            f"{_situations(sums, wrong, came, requantizer)}")


def _two_codes_of_one_sum(sums: Integers, found: Integers, came: Marks) -> tuple[int, int, list[int]] | None:
    """Find a channel and a sum of the reference of which the hardware has made different codes."""
    for channel in range(sums.shape[1]):
        here = came[:, channel]
        pairs = np.unique(np.stack([sums[:, channel][here], found[:, channel][here]]), axis=1)
        again = np.flatnonzero(pairs[0, 1:] == pairs[0, :-1])
        if len(again):
            total = int(pairs[0, again[0]])
            return channel, total, pairs[1, pairs[0] == total].tolist()
    return None


def _situations(sums: Integers, wrong: Marks, came: Marks, requantizer: Requantizer | None) -> str:
    """Name the situation that all wrong codes share, if there is one, and how many right ones are in it."""
    if requantizer is None:
        return ""
    for name, inside in _named(sums, requantizer):
        if not (wrong & ~inside).any():
            return (f"; all wrong codes ({np.count_nonzero(wrong)}) are {name}, as are "
                    f"{np.count_nonzero(inside & came & ~wrong)} of the {np.count_nonzero(came & ~wrong)} right ones")
    return ""


def _named(sums: Integers, requantizer: Requantizer) -> Iterator[tuple[str, Marks]]:
    """Yield situations of a requantizer from the narrowest to the widest, and where they are."""
    totals, ties = requantizer.totals(sums), requantizer.ties(sums)
    odd = requantizer.floors(sums) % 2 == 1
    yield "ties of negative numbers with an even code below", ties & (totals < 0) & ~odd
    yield "ties of negative numbers with an odd code below", ties & (totals < 0) & odd
    yield "ties of positive numbers with an even code below", ties & (totals > 0) & ~odd
    yield "ties of positive numbers with an odd code below", ties & (totals > 0) & odd
    yield "ties of negative numbers", ties & (totals < 0)
    yield "ties of positive numbers", ties & (totals > 0)
    yield "ties with an even code below", ties & ~odd
    yield "ties with an odd code below", ties & odd
    yield "ties", ties
    yield "clamped to the lowest code", requantizer.below(sums)
    yield "clamped to the highest code", requantizer.above(sums)
    yield "clamped", requantizer.below(sums) | requantizer.above(sums)
    yield "of negative numbers", totals < 0
    yield "of positive numbers", totals > 0
    yield "of negative sums", sums < 0
