"""How far work has come, and when it will probably end."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Stand"]

MINUTE, HOUR = 60, 3600


@dataclass(frozen=True)
class Stand:
    """How far work has come.

    Attributes
    ----------
    ended : int
        Jobs that are done or have failed, those of former runs included.
    before : int
        Of these, jobs that former runs have done.
    failed : int
    total : int or None
        None if it is not known.
    seconds : float
        Since the run began.
    what : str
        What is counted.

    Examples
    --------
    >>> print(Stand(ended=30, before=10, failed=1, total=1000, seconds=100.0))
    30 of 1,000 jobs, 1 failed, about 81 min left
    >>> print(Stand(ended=3, before=0, failed=0, total=None, seconds=1.0))
    3 jobs
    """

    ended: int
    before: int
    failed: int
    total: int | None
    seconds: float
    what: str = "jobs"

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at the speed of this run; None if that is not known."""
        own = self.ended - self.before
        return None if self.total is None or not own else (self.total - self.ended) * self.seconds / own

    def __str__(self) -> str:
        left = self.seconds_left
        return (f"{self.ended:,} " + (f"of {self.total:,} " if self.total is not None else "") + self.what
                + (f", {self.failed:,} failed" if self.failed else "")
                + (f", about {_time(left)} left" if left else ""))


def _time(seconds: float) -> str:
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"
