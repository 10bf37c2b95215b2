"""The host's memory as a stream sees it: a time-slotted port, exact to the cycle."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sim.arch.ranges import MEMORY_RANGES

__all__ = ["IDEAL", "Memory"]


def _range(name: str) -> Any:
    low, high = MEMORY_RANGES[name]
    return Field(ge=low, le=high)


class Memory(BaseModel):
    """In which cycles of a run a beat can pass, each way; cycle 0 is the start of the run for both streams.

    A beat can pass in cycle t when t >= latency_cycles and (t - latency_cycles) mod period_cycles < beats. What Stores
    write can be read back `latency_cycles` after their end. The default is an ideal memory: a beat in every cycle.

    Attributes
    ----------
    latency_cycles : int, 0..2**24
    beats : int, 1..period_cycles
        Beats per period, at its start.
    period_cycles : int, 1..2**24

    Examples
    --------
    Two beats of every five cycles can pass, the first in cycle 3:

    >>> memory = Memory(latency_cycles=3, beats=2, period_cycles=5)
    >>> [cycle for cycle in range(15) if memory.passes(cycle)]
    [3, 4, 8, 9, 13, 14]
    >>> memory.finish(5, 3)
    14
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    latency_cycles: Annotated[int, _range("latency_cycles")] = 0
    beats: Annotated[int, _range("beats")] = 1
    period_cycles: Annotated[int, _range("period_cycles")] = 1

    @model_validator(mode="after")
    def _check(self) -> Memory:
        if self.beats > self.period_cycles:
            raise ValueError(f"beats must be at most period_cycles = {self.period_cycles}, not {self.beats}")
        return self

    def passes(self, cycle: int) -> bool:
        """Tell whether a beat can pass in a cycle."""
        since = cycle - self.latency_cycles
        return since >= 0 and since % self.period_cycles < self.beats

    def finish(self, start: int, beats: int) -> int:
        """Return the first cycle after the last of `beats` beats (at least 1) that wait to pass from `start` on."""
        period, offset = divmod(max(0, start - self.latency_cycles), self.period_cycles)
        passed = period * self.beats + min(offset, self.beats)
        period, slot = divmod(passed + beats - 1, self.beats)
        return self.latency_cycles + period * self.period_cycles + slot + 1

    def longest(self, beats: int) -> int:
        """Return the most cycles that `beats` beats (at least 1) take, from any start after `latency_cycles`."""
        return self.finish(self.latency_cycles + self.beats, beats) - self.latency_cycles - self.beats


IDEAL = Memory()
"""A beat can pass in every cycle."""
