"""The simulator in place of the RTL; a Dask scheduler with two workers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

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


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """The address of a scheduler, and the processes of two workers without anyone who starts them again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    dask, quiet = [sys.executable, "-m", "dask"], {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    quiet["env"] = {"PYTHONPATH": str(Path(__file__).parents[2])} | os.environ
    started = [subprocess.Popen([*dask, "scheduler", "--host", address, "--no-dashboard"], **quiet)]
    started += [subprocess.Popen([*dask, "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard",
                                  "--local-directory", str(tmp_path), "--death-timeout", "60"], **quiet)
                for _ in range(2)]
    try:
        yield address, started[1:]
    finally:
        for process in started:
            process.kill()
            process.wait()
