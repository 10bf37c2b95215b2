"""How hypothesis searches, and what the tests of the hardware have covered together."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings

from sim.testing.bins import GROUPS
from sim.testing.coverage import Coverage

# The same examples in every run, so that a red test is about the change. No deadline: a first call compiles.
settings.register_profile("steady", deadline=None, derandomize=True)
# `make nightly` looks for what the steady examples miss.
settings.register_profile("nightly", deadline=None, max_examples=1000)
settings.load_profile("steady")

COVERAGE = pytest.StashKey[Coverage]()
SHOWN = 40
"""Missing bins that the summary names."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--coverage-goal", type=float, metavar="PERCENT",
                     help="fail unless this part of the functional coverage bins was met on the RTL")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[COVERAGE] = Coverage(GROUPS)


@pytest.fixture(scope="session")
def coverage(pytestconfig: pytest.Config) -> Coverage:
    """What runs of the RTL that agreed with the simulator have met."""
    return pytestconfig.stash[COVERAGE]


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
