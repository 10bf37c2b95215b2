"""Functions for jobs, in a module that other processes can import."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TASKS = '''
import os, signal, time
from pathlib import Path
import numpy as np
from bitwright.farm.perform import Answer
from sim.errors import InputError

def note(folder, number, what="begun"):
    """Append a line to the file of a job: every time that it is begun or ended leaves one."""
    with open(Path(folder) / str(number), "a") as file:
        file.write(f"{what} {os.getpid()}\\n")

def square(folder, number, seconds=0.0):
    note(folder, number)
    time.sleep(seconds)
    note(folder, number, "ended")
    return number * number

def arrays(number):
    return Answer({"number": number}, {"counts": np.arange(number), "part": np.eye(2)[:, 0]})

def refuse(number):
    raise InputError(f"number must be 1, not {number}")

def fail(number):
    return [1][number]

def die(folder, number, times):
    note(folder, number)
    if len((Path(folder) / str(number)).read_text().splitlines()) <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"
'''


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a module `farm_tasks`, which other processes find too."""
    place = tmp_path / "tasks"
    place.mkdir()
    (place / "farm_tasks.py").write_text(TASKS)
    monkeypatch.syspath_prepend(place)
    monkeypatch.setenv("PYTHONPATH", f"{place}:{Path(__file__).parents[3]}")
    yield place
    sys.modules.pop("farm_tasks", None)


@pytest.fixture
def lines(tmp_path: Path) -> Callable[[], Counter[str]]:
    """What counts how often jobs were begun and ended."""
    def count() -> Counter[str]:
        return Counter(line.split()[0] for path in (tmp_path / "notes").iterdir()
                       for line in path.read_text().splitlines())

    (tmp_path / "notes").mkdir()
    return count
