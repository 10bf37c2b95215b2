"""How hypothesis searches, which tests train and how, and what the tests of the hardware have covered together."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings

from sim.testing.coverage.bins import GROUPS
from sim.testing.coverage.coverage import Coverage

# The same examples in every run, so that a red test is about the change. No deadline: a first call compiles.
settings.register_profile("steady", deadline=None, derandomize=True)
# `make nightly` looks for what the steady examples miss.
settings.register_profile("nightly", deadline=None, max_examples=1000)
settings.load_profile("steady")

THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))
"""Of torch; `make portability` sets two."""
SEED_SHIFT = int(os.environ.get("BITWRIGHT_TEST_SEED_SHIFT", "0"))
"""Added to every seed of torch in tests that train, by `make portability`: their verdict is not a seed's luck."""

UPPER_ENDS = Path(__file__).parent / "upper_ends.yaml"
COVERAGE = pytest.StashKey[Coverage]()
SHOWN = 40
"""Missing bins that the summary names."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--coverage-goal", type=float, metavar="PERCENT",
                     help="fail unless this part of the functional coverage bins was met on the RTL")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[COVERAGE] = Coverage(GROUPS)
    if SEED_SHIFT:
        _shift_seeds()


def _shift_seeds() -> None:
    import torch

    class ShiftedGenerator(torch.Generator):
        def manual_seed(self, seed: int) -> torch.Generator:
            return super().manual_seed(seed + SEED_SHIFT)

    seed_all = torch.manual_seed
    torch.manual_seed = lambda seed: seed_all(seed + SEED_SHIFT)
    torch.Generator = ShiftedGenerator


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let only tests that are marked `trains` train, or `make portability` would miss them."""
    if "torch" not in sys.modules:
        return (yield)
    import torch
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    torch.set_num_threads(THREADS)
    if item.get_closest_marker("trains"):
        return (yield)
    hook = register_optimizer_step_pre_hook(_refuse_to_train)
    try:
        return (yield)
    finally:
        hook.remove()


def _refuse_to_train(*_: object) -> None:
    raise AssertionError("a test that trains must be marked so: @pytest.mark.trains")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For promises that hold on one thread of torch."""
    import torch

    torch.set_num_threads(1)
    yield
    torch.set_num_threads(THREADS)


@pytest.fixture(scope="session")
def coverage(pytestconfig: pytest.Config) -> Coverage:
    """What runs of the RTL that agreed with the simulator have met."""
    return pytestconfig.stash[COVERAGE]


@pytest.fixture(scope="session")
def upper_ends() -> dict[str, dict[str, int]]:
    """Largest legal values of quantities, by the test or proof that reaches them."""
    table: dict[str, dict[str, int]] = yaml.safe_load(UPPER_ENDS.read_text())
    return table


@pytest.fixture
def reaches(request: pytest.FixtureRequest,
            upper_ends: dict[str, dict[str, int]]) -> Iterator[Callable[[str, int], None]]:
    """Say that a quantity has had a value; in the end these are the rows of `upper_ends.yaml` that name the test."""
    had: dict[str, int] = {}
    yield had.__setitem__
    path = request.path.relative_to(UPPER_ENDS.parent.parent).as_posix()
    assert had == upper_ends.get(f"{path}::{request.node.name}", {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Collect what a worker has covered."""
    node.config.stash[COVERAGE].add_counts(getattr(node, "workeroutput", {}).get("coverage", {}))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the coverage to the controller, or hold it against the goal."""
    covered, goal = session.config.stash[COVERAGE], session.config.getoption("--coverage-goal")
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["coverage"] = covered.counts
    elif goal is not None and covered.percent < goal and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what the tests of the hardware have covered, and what not."""
    covered, goal = config.stash[COVERAGE], config.getoption("--coverage-goal")
    if not covered.covered and goal is None:
        return
    missing = [covered.text(found) for found in covered.missing] if goal is not None else []
    terminalreporter.section("functional coverage of the hardware")
    terminalreporter.line(f"{covered.covered} of {covered.declared} bins, {covered.percent:.1f} %"
                          + (f"; the goal is {goal:g} %" if goal is not None else ""))
    for text in missing[:SHOWN]:
        terminalreporter.line(f"  missing {text}")
    if len(missing) > SHOWN:
        terminalreporter.line(f"  and {len(missing) - SHOWN} more")
