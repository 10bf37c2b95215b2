"""The simulator in place of the RTL."""

from __future__ import annotations

import numpy as np
import pytest

from rtl.cosim.run import RtlResult
from rtl.cosim.scoreboard import WAITS
from sim.energy.counting import total_events
from sim.functional.reference import simulate
from sim.timing.timeline import timeline


@pytest.fixture
def simulated():
    """What `rtl.cosim.run.run_all` gives when the RTL is right."""

    def run_all(jobs, engine=None):
        results = []
        for plan, inputs in jobs:
            times = timeline(plan)
            counters = total_events(plan) | {name: getattr(times, name) for name in ("total", "pairs", *WAITS)}
            results.append(RtlResult(simulate(plan.program, inputs), np.array([times.ends]), (counters,)))
        return results

    return run_all
