"""Start a clock, hold a reset, and tell the seed of the run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

__all__ = ["PERIOD_NS", "seed", "start"]

PERIOD_NS = 10


async def start(clock: Any, reset: Any = None, inputs: Iterable[Any] = (), *, cycles: int = 2,
                active_low: bool = False, period_ns: int = PERIOD_NS) -> None:
    """Start the clock, hold all `inputs` at 0 and the reset for some cycles; return at the falling edge after them.

    Parameters
    ----------
    clock, reset : handles
        `reset` may be None: hardware without one.
    inputs : iterable of handles
    cycles : int
        Of reset.
    active_low : bool
        Whether the reset is asserted by 0.
    period_ns : int
        Of the clock [ns].
    """
    for signal in inputs:
        signal.value = 0
    if reset is not None:
        reset.value = int(not active_low)
    Clock(clock, period_ns, unit="ns").start()
    for _ in range(cycles):
        await FallingEdge(clock)
    if reset is not None:
        reset.value = int(active_low)


def seed() -> int:
    """Return the seed of the simulation, from which everything random in a bench should follow."""
    return int(cocotb.RANDOM_SEED)
