"""How far a simulation of known length has come, in cycles."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from time import monotonic

__all__ = ["CycleCount"]


class CycleCount:
    """Count the cycles that have been simulated, in any number of threads, and say how long the rest will take.

    Parameters
    ----------
    total : int
        Cycles in all.
    note : callable
        Gets a line whenever the count has grown.
    clock : callable
        Gives the time [s].

    Examples
    --------
    >>> times = iter([0.0, 2.0])
    >>> count = CycleCount(17_000_000, print, lambda: next(times))
    >>> count(1_000_000)
    1.0 of 17.0 million cycles, 32 s left
    """

    def __init__(self, total: int, note: Callable[[str], None], clock: Callable[[], float] = monotonic) -> None:
        self._total, self._note, self._clock = total, note, clock
        self._done, self._start, self._lock = 0, clock(), Lock()

    def __call__(self, cycles: int) -> None:
        """Add cycles that have been simulated."""
        with self._lock:
            self._done += cycles
            seconds = (self._clock() - self._start) * max(0, self._total - self._done) / max(1, self._done)
            self._note(f"{self._done / 1e6:.1f} of {self._total / 1e6:.1f} million cycles, {_duration(seconds)} left")


def _duration(seconds: float) -> str:
    """Return a time that people read.

    Examples
    --------
    >>> [_duration(seconds) for seconds in (0.2, 119, 4000)]
    ['1 s', '119 s', '67 min']
    """
    return f"{max(1, round(seconds))} s" if seconds < 120 else f"{round(seconds / 60)} min"
