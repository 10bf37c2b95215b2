"""The player: scripts on the design with mutants, as a program that Verilator makes, a mutant in some milliseconds."""

from __future__ import annotations

import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rtl.cosim.simulators import VERILATOR
from rtl.cosim.simulators.engine import silent
from rtl.cosim.simulators.verilated import call, compile_model, compiler, run_verilator
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
    try:
        objects = compile_model(folder, silent, level)
        call([*compiler(level), str(SOURCE), *objects, "-o", "player"], folder)
    except RuntimeError as error:
        raise EngineError(f"{error}: {log.read_text().strip()[-2000:]}") from None
    for path in folder.iterdir():
        if path.name != "player":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
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

