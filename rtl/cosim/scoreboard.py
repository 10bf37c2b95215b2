"""The second promise, checked: what a run of the RTL does otherwise than the simulator says."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rtl.cosim.run import UNDEFINED, RtlResult
from sim.energy.counting import total_events
from sim.functional.reference import simulate
from sim.plan.plan import Plan
from sim.timing.timeline import timeline

__all__ = ["WAITS", "differences"]

WAITS = ("wait_accumulator", "wait_weights", "wait_transfers", "starved", "blocked")
"""Counters of cycles in which something waits."""


def differences(plan: Plan, inputs: Mapping[str, NDArray[np.integer]], result: RtlResult, *,
                stalled: bool = False) -> list[str]:
    """What differs, a sentence each: codes of every tensor, the end of every op, every counter of every image.

    Parameters
    ----------
    plan : Plan
    inputs : mapping of name to integer array, shape (N, C, H, W)
    result : RtlResult
        Of these inputs.
    stalled : bool
        Whether the streams had gaps: these may move the cycles and what is waited for, nothing else.
    """
    codes, times = simulate(plan.program, inputs), timeline(plan)
    found = [_codes(name, result.codes[name]) for name in codes if not np.array_equal(codes[name], result.codes[name])]
    expected = total_events(plan) | {"pairs": times.pairs}
    if not stalled:
        expected |= {name: getattr(times, name) for name in ("total", *WAITS)}
        found += [f"ends {ends.tolist()} not {list(times.ends)}" for ends in result.ends if tuple(ends) != times.ends]
    for counters in result.counters:
        found += [f"{name} {counters[name]} not {expected[name]}" for name in expected
                  if counters[name] != expected[name]]
    return found


def _codes(name: str, found: NDArray[np.int32]) -> str:
    """What a tensor that differs is called, with the first code that has an undefined bit."""
    holes = np.argwhere(found == UNDEFINED)
    if not len(holes):
        return f"codes of {name}"
    image, *place = (int(index) for index in holes[0])
    return f"codes of {name}: undefined bits at (channel, y, x) = {tuple(place)} of image {image}"
