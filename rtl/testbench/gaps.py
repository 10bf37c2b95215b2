"""In which cycles a stream pauses: named patterns, random but repeatable, for sources and sinks alike.

A pattern is an iterator that yields True in a cycle in which to pause, as the pause generators of cocotbext-axi do.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, cycle, repeat

from sim.errors import InputError

__all__ = ["PATTERNS", "Gaps", "bursts", "gaps", "no_gaps", "random_gaps", "slots", "start_late"]

Gaps = Iterator[bool]
"""Yields in each cycle whether to pause."""

LONGEST_BURST = 8
"""Most cycles of a burst, or of the pause after it, unless a caller says otherwise."""


def no_gaps() -> Gaps:
    """Never pause.

    >>> [next(no_gaps()) for _ in range(3)]
    [False, False, False]
    """
    return repeat(False)


def random_gaps(probability: float, seed: int) -> Gaps:
    """Pause in each cycle with the same probability.

    Parameters
    ----------
    probability : float, 0 <= probability < 1
    seed : int
        The same seed gives the same cycles.

    Raises
    ------
    InputError
        If the probability is not in its range: at 1 nothing would ever pass.
    """
    if not 0 <= probability < 1:
        raise InputError(f"probability of a gap must be in 0..1, 1 excluded, not {probability}")
    rng = random.Random(seed)
    return (rng.random() < probability for _ in repeat(None))


def bursts(seed: int, longest: int = LONGEST_BURST) -> Gaps:
    """Pass for 1 to `longest` cycles, then pause for 1 to `longest`, and so on.

    Raises
    ------
    InputError
        If `longest` is below 1.
    """
    if longest < 1:
        raise InputError(f"longest burst must be at least 1 cycle, not {longest}")
    rng = random.Random(seed)
    return (pause for pause in cycle((False, True)) for _ in range(rng.randint(1, longest)))


def slots(passing: int, period: int) -> Gaps:
    """Pass in the first `passing` cycles of every `period`.

    >>> pattern = slots(2, 3)
    >>> [next(pattern) for _ in range(6)]
    [False, False, True, False, False, True]

    Raises
    ------
    InputError
        If `passing` is not in 1..period.
    """
    if not 1 <= passing <= period:
        raise InputError(f"passing cycles must be in 1..{period}, the period, not {passing}")
    return cycle([False] * passing + [True] * (period - passing))


def start_late(cycles: int, after: Gaps) -> Gaps:
    """Pause for so many cycles, and from then on as `after` says."""
    return chain(repeat(True, cycles), after)


PATTERNS: Mapping[str, Callable[[int], Gaps]] = {
    "none": lambda seed: no_gaps(),
    "few": lambda seed: random_gaps(0.1, seed),
    "half": lambda seed: random_gaps(0.5, seed),
    "many": lambda seed: random_gaps(0.9, seed),
    "bursts": bursts,
    "long bursts": lambda seed: bursts(seed, 64),
    "alternating": lambda seed: slots(1, 2),
    "late": lambda seed: start_late(50, random_gaps(0.5, seed)),
}
"""The named patterns, each made from a seed; those without random numbers ignore it."""


def gaps(name: str, seed: int) -> Gaps:
    """Return a named pattern of `PATTERNS`.

    Raises
    ------
    InputError
        If there is none of this name.
    """
    if name not in PATTERNS:
        raise InputError(f"pattern must be one of {', '.join(PATTERNS)}, not {name}")
    return PATTERNS[name](seed)
