"""The simulator in place of the RTL."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from rtl.cosim.run import RtlResult
from rtl.cosim.scoreboard import expected_counters
from sim.functional.reference import simulate


@pytest.fixture(scope="session", autouse=True)
def no_configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the options of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("no configuration")))
        yield


@pytest.fixture
def simulated():
    """What `rtl.cosim.run.run_all` gives when the RTL is right."""

    def run_all(jobs, engine=None):
        results = []
        for plan, inputs in jobs:
            codes, ends = simulate(plan.program, inputs), np.array([plan.timeline.ends])
            results.append(RtlResult(codes, ends, (expected_counters(plan),)))
        return results

    return run_all
