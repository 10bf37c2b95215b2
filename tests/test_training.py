"""Rules of this suite about training, held by tests/conftest.py."""

import os
import re
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
TRAINS = """
import pytest, torch

def step():
    parameter = torch.nn.Parameter(torch.ones(1))
    parameter.sum().backward()
    torch.optim.SGD([parameter], lr=0.1).step()

def test_unmarked():
    step()

@pytest.mark.trains
def test_marked():
    step()

def test_seeds():
    print("seeds", torch.initial_seed() if torch.manual_seed(5) else 0,
          torch.Generator().manual_seed(5).initial_seed(), torch.get_num_threads())
"""


def outcome(folder: Path, **environment: str) -> str:
    """What pytest prints on that file with the conftest of this folder."""
    (folder / "test_it.py").write_text(TRAINS)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", folder, "-p", "conftest", "-p",
         "no:cacheprovider", "-rA", folder / "test_it.py"],
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}", "OMP_NUM_THREADS": "1"} | environment, text=True,
        capture_output=True, check=False).stdout


def test_training_must_be_marked_and_can_be_varied(tmp_path: Path) -> None:
    """An optimizer step in a test without the mark is an error that names it; with the mark it is none. The shift is
    added to the seeds of torch and of its generators; threads are those of OpenMP."""
    found = outcome(tmp_path, BITWRIGHT_TEST_SEED_SHIFT="3", OMP_NUM_THREADS="2")
    assert "a test that trains must be marked so: @pytest.mark.trains" in found
    assert re.search(r"^FAILED \S*::test_unmarked", found, re.MULTILINE)
    assert re.search(r"^PASSED \S*::test_marked", found, re.MULTILINE)
    assert "seeds 8 8 2\n" in found


def test_seeds_are_their_own_without_a_shift() -> None:
    """Unless `make portability` shifts them, a seed is what a test writes, on one thread."""
    shift, threads = (int(os.environ.get(name, default)) for name, default in (
        ("BITWRIGHT_TEST_SEED_SHIFT", "0"), ("OMP_NUM_THREADS", "1")))
    assert torch.Generator().manual_seed(5).initial_seed() == 5 + shift
    assert torch.get_num_threads() == threads
