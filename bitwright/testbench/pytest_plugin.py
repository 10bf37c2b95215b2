"""The pytest plugin: fixtures for benches of any hardware. A run that uses none of them is as it was.

Nothing but pytest is imported here, so that the plugin costs other projects' runs next to nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

__all__ = ["bitwright_seed", "program_coverage", "pytest_addoption", "pytest_runtest_makereport", "random_layers",
           "run_bench"]

SEED_BITS = 31


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the fixtures."""
    group = parser.getgroup("bitwright", "benches of hardware, by bitwright.testbench")
    group.addoption("--bitwright-seed", type=int, default=None, metavar="N",
                    help="the seed of everything random in benches; by default a new one for every run")
    group.addoption("--bitwright-simulator", default="icarus", metavar="NAME",
                    help="the simulator of benches: icarus (default), verilator, or another that cocotb's runner knows")
    group.addoption("--bitwright-waves", action="store_true", help="write waveforms of benches into their folders")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Print the seed with the failure of a test that used it."""
    report = yield
    used = getattr(item, "funcargs", {})
    if report.failed and "bitwright_seed" in used:
        report.sections.append(("seed", f"repeat with --bitwright-seed={used['bitwright_seed']}"))
    return report


@pytest.fixture(scope="session")
def _bitwright_session_seed(request: pytest.FixtureRequest) -> int:
    given: int | None = request.config.getoption("--bitwright-seed")
    return random.SystemRandom().getrandbits(SEED_BITS) if given is None else given


@pytest.fixture
def bitwright_seed(request: pytest.FixtureRequest, _bitwright_session_seed: int) -> int:
    """Return the seed of the run: that of `--bitwright-seed`, or a new one; JUnit reports hold it as a property."""
    request.node.user_properties.append(("bitwright_seed", _bitwright_session_seed))
    return _bitwright_session_seed


@pytest.fixture
def random_layers(bitwright_seed: int) -> Callable[..., list[Any]]:
    """Return a function of limits, a count and images that draws layers, as `bitwright.testbench.random_layers`."""
    def draw(limits: Any, count: int, images: int = 2) -> list[Any]:
        return [*import_module("bitwright.testbench").random_layers(limits, bitwright_seed, count, images)]

    return draw


@pytest.fixture
def program_coverage() -> Any:
    """Return an empty `bitwright.testbench.ProgramCoverage`."""
    return import_module("bitwright.testbench").ProgramCoverage()


@pytest.fixture
def run_bench(request: pytest.FixtureRequest, tmp_path: Path, bitwright_seed: int) -> Callable[..., Any]:
    """Return a function that builds Verilog and runs a cocotb bench; the test fails if one of the bench's tests does.

    Its arguments are those of `bitwright.testbench.bench_runner.run_bench` but for folder and seed: the bench, the
    sources, the top module, and options. Paths may be relative to the test's file. With `check=False` it returns the
    result, whatever became of the bench. JUnit reports hold what became of each of its tests as properties.
    """
    here = request.path.parent

    def run(bench: str | Path, sources: Sequence[str | Path], top: str, *, check: bool = True,
            includes: Sequence[str | Path] = (), parameters: Mapping[str, object] | None = None, **options: Any) -> Any:
        chosen = {"simulator": request.config.getoption("--bitwright-simulator"),
                  "waves": request.config.getoption("--bitwright-waves")} | options
        result = import_module("bitwright.testbench.bench_runner").run_bench(
            here / bench, [here / path for path in sources], top, tmp_path, seed=bitwright_seed, parameters=parameters,
            includes=[here / path for path in includes], **chosen)
        for name, reason in result.failures.items():
            request.node.user_properties.append((f"bench {name}", "passed" if reason is None else reason))
        if check and result.failed:
            pytest.fail(str(result), pytrace=False)
        return result

    return run
