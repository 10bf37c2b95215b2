"""A user whose home folder cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sim.arch.machine import load_machine
from sim.ir.serialize import save_program
from sim.testing import random_program

CALL = "import sys; from bitwright.cli.app import main; sys.exit(main(sys.argv[1:]))"


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command where the home folder lies below a file, so that not even root can write it."""
    (folder / "file").touch()
    environment = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"}
    environment |= {"HOME": str(folder / "file" / "home"), "TMPDIR": str(folder)}
    return subprocess.run([sys.executable, "-c", *arguments], env=environment, cwd=folder, capture_output=True,
                          text=True, check=False)


def test_the_simulator_can_be_imported(tmp_path: Path) -> None:
    """No word is said where nothing is compiled yet."""
    done = run(["import sim.functional.reference, sim.functional.engine.simulator, rtl.cosim.run"], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.nightly
@pytest.mark.parametrize("command", [
    ["simulate", "p.safetensors"], ["estimate", "p.safetensors", "-m", "tiny"],
    ["verify", "p.safetensors", "-m", "tiny", "-n", "1"], ["generate", "-m", "tiny", "-o", "out"], ["warmup"], ["demo"],
], ids=lambda command: command[0])
def test_every_command_runs(command: list[str], tmp_path: Path) -> None:
    """With one warning at most, which names the reason and where the cache is instead."""
    program = random_program(np.random.default_rng(1), load_machine("tiny"), layers=2)
    save_program(program, tmp_path / "p.safetensors")
    done = run([CALL, *command], tmp_path)
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stderr.splitlines() if "Warning" in line]
    place = tmp_path / f"bitwright-{os.geteuid()}"
    text = f"RuntimeWarning: the cache is kept in {place}: {tmp_path / 'file' / 'home'}: Not a directory"
    assert len(warnings) == int(command[0] != "estimate")
    assert all(line.endswith(text) for line in warnings)
