"""What a command that is killed leaves behind."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bitwright.cli.app import main
from quant.training.checkpoint import save_weights
from sim.arch.machine import load_machine
from sim.ir.serialize import save_program
from sim.testing import random_program

KILLED = """\
import os, signal, sys
from pathlib import Path
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "weights":
    import torch
    from quant.training.checkpoint import save_weights
    save_weights(torch.nn.Linear(2, 2), Path(sys.argv[1]) / "out")
else:
    from bitwright.cli.app import main
    main(sys.argv[2:])
"""


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("what", ["simulate", "assemble", "weights"])
def test_every_writer_leaves_nothing_that_stays(tmp_path: Path, what: str) -> None:
    """Killed when all is written and not yet in its place, then run again: the result is there and nothing else."""
    program, out = tmp_path / "p.safetensors", tmp_path / "results"
    save_program(random_program(np.random.default_rng(11), load_machine("tiny"), layers=2), program)
    out.mkdir()
    place = out / "out" if what == "simulate" else out
    words = {
        "simulate": ["simulate", str(program), "-o", str(place)], "weights": ["weights"],
        "assemble": ["assemble", str(program), "-m", "tiny", "-o", str(place)]}[what]
    killed = subprocess.run([sys.executable, "-c", KILLED, str(out), *words], capture_output=True)
    assert killed.returncode == -9
    assert [name for name in names(out) if name.endswith(".tmp")] == names(out)
    assert len(names(out)) == 1
    if what == "weights":
        save_weights(torch.nn.Linear(2, 2), place / "out")
    else:
        assert main(words) == 0
    assert names(out) == {"assemble": ["manifest.json", "program.bin", "stream.bin"]}.get(what, ["out"])
