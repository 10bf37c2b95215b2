"""The scoreboard: what the simulator predicts of a run on the RTL, and where the RTL departs from it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rtl.cosim.run import UNDEFINED, RtlResult
from rtl.testbench.differences import compare_tensor
from sim.energy.counting import total_events
from sim.energy.events import EVENTS, counters_from_events
from sim.functional.reference import simulate
from sim.plan.plan import Plan

__all__ = ["WAITS", "differences", "expected_counters", "expected_registers"]

WAITS = ("wait_accumulator", "wait_weights", "wait_transfers", "starved", "blocked")
"""Counters of cycles in which something waits."""


def expected_counters(plan: Plan, *, stalled: bool = False) -> dict[str, int]:
    """Return the counters of one image as `RtlResult.counters` must have them.

    Parameters
    ----------
    plan : Plan
    stalled : bool
        Leave out the counters that gaps in the streams may change: cycles, and what is waited for.
    """
    times = plan.timeline
    timed = {} if stalled else {name: getattr(times, name) for name in ("total", *WAITS)}
    return timed | {"pairs": times.pairs} | total_events(plan)


def expected_registers(plan: Plan, *, stalled: bool = False) -> dict[str, int]:
    """Return what the performance counters must hold after one image, under the names that the hardware gives them.

    The parameters are those of `expected_counters`.
    """
    expected = expected_counters(plan, stalled=stalled)
    events = {name: expected.pop(name) for name in EVENTS}
    cycles = {"cycles": expected.pop("total")} if "total" in expected else {}
    return cycles | expected | counters_from_events(events, plan.machine)


def differences(plan: Plan, inputs: Mapping[str, NDArray[np.integer]], result: RtlResult, *,
                stalled: bool = False) -> list[str]:
    """Return a sentence for each difference: in a tensor's codes, an op's end, a counter of an image.

    Parameters
    ----------
    plan : Plan
    inputs : mapping of name to integer array, shape (N, C, H, W)
    result : RtlResult
        What the RTL made of these inputs.
    stalled : bool
        Whether the streams had gaps, which may change cycles and waits but nothing else.
    """
    codes, ends = simulate(plan.program, inputs), plan.timeline.ends
    expected = expected_counters(plan, stalled=stalled)
    compared = (compare_tensor(name, codes[name], result.codes[name], UNDEFINED) for name in codes)
    found = [str(difference) for difference in compared if difference]
    if not stalled:
        found += [f"ends {found_ends.tolist()} not {list(ends)}" for found_ends in result.ends
                  if tuple(found_ends) != ends]
    for counters in result.counters:
        found += [f"{name} {counters[name]} not {expected[name]}" for name in expected
                  if counters[name] != expected[name]]
    return found
