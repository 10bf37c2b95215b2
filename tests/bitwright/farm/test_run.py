"""Jobs: their identity, their order on any number of processes, what fails, what dies, and what is never done twice."""

from __future__ import annotations

import itertools
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bitwright.farm.job import Job, job
from bitwright.farm.open_workers import open_workers
from bitwright.farm.run import AHEAD, TRIES, run
from bitwright.farm.store import Store
from bitwright.farm.workers import Here
from sim.errors import InputError


def squares(folder: Path, count: int, seconds: float = 0.0) -> list[Job]:
    """Jobs of which every third takes longer than the others."""
    return [Job("farm_tasks.square", {"folder": str(folder / "notes"), "number": number,
                                      "seconds": seconds * (number % 3 == 0)}) for number in range(count)]


def test_a_job_is_its_description():
    """The key follows from function and parameters, and from nothing else."""
    one = job(os.path.join, a=1, b=[2, 3])
    assert one == Job("posixpath.join", {"a": 1, "b": [2, 3]})
    assert one.key == job(os.path.join, b=(2, 3), a=1).key != job(os.path.join, a=1, b=[2, 4]).key


@pytest.mark.parametrize("function", [lambda: 1, Path.exists, Path().exists])
def test_what_other_processes_cannot_import_is_no_job(function):
    """Lambdas and methods are refused."""
    with pytest.raises(ValueError, match=r"^a job needs a function at the top level of a module that can be "):
        job(function)


@pytest.mark.parametrize("parameter", [float("nan"), float("inf"), np.int64(3), {1, 2}])
def test_parameters_are_plain_data(parameter):
    """What JSON cannot hold is refused before anything runs."""
    with pytest.raises((TypeError, ValueError)):
        _ = Job("farm_tasks.square", {"number": parameter}).text


def test_outcomes_are_the_same_on_any_number_of_processes(tasks, lines, tmp_path):
    """Values and their order do not depend on who does the jobs; each is done once."""
    found = []
    for count in (1, 3):
        with open_workers(count) as workers, Store() as store:
            found.append([outcome.value for outcome in run(squares(tmp_path, 9, 0.1), store, workers)])
    assert found == [[number * number for number in range(9)]] * 2
    assert lines() == {"begun": 18, "ended": 18}


def test_what_is_done_is_not_done_again(tasks, lines, tmp_path):
    """A second run does what the first had not, and yields everything in order; the same job twice is done once."""
    place, stands = tmp_path / "new" / "results.sqlite", []
    with Store(place) as store:
        assert len([*run(squares(tmp_path, 3), store, Here())]) == 3
    with Store(place) as store:
        jobs = [*squares(tmp_path, 5), *squares(tmp_path, 5)]
        outcomes = [*run(jobs, store, Here(), total=10, watch=stands.append)]
    assert [outcome.value for outcome in outcomes] == [0, 1, 4, 9, 16] * 2
    assert lines() == {"begun": 5, "ended": 5}
    assert [(stand.ended, stand.before, stand.failed) for stand in stands] == [(4, 3, 0), (5, 3, 0)]


def test_arrays_come_back(tasks, tmp_path):
    """Shape, type and values are kept in the file, also of what is not contiguous."""
    one = Job("farm_tasks.arrays", {"number": 3})
    with Store(tmp_path / "results") as store:
        [*run([one], store, Here())]
    with Store(tmp_path / "results") as store:
        outcome = store.outcome(one)
    assert outcome.value == {"number": 3}
    assert {name: (array.dtype.str, array.tolist()) for name, array in outcome.arrays.items()} == {
        "counts": ("<i8", [0, 1, 2]), "part": ("<f8", [1.0, 0.0])}


@pytest.mark.parametrize(("function", "number", "failure"), [
    ("farm_tasks.refuse", 2, "number must be 1, not 2"),
    ("farm_tasks.fail", 2, "IndexError: list index out of range, in fail of farm_tasks.py"),
    ("farm_tasks.missing", 2,
     "AttributeError: module 'farm_tasks' has no attribute 'missing', in _function of perform.py")])
def test_what_fails_says_so_and_is_tried_by_the_next_run(tasks, tmp_path, function, number, failure):
    """The sentence is kept, the other jobs are done, and the next run tries again."""
    jobs, stands = [Job(function, {"number": number}), Job("farm_tasks.fail", {"number": 0})], []
    with Store(tmp_path / "results") as store:
        for _ in range(2):
            outcomes = [*run(jobs, store, Here(), watch=stands.append)]
            assert [(outcome.value, outcome.failure) for outcome in outcomes] == [(None, failure), (1, "")]
    assert [(stand.ended, stand.failed) for stand in stands] == [(1, 1), (2, 1), (1, 1)]


def test_a_process_that_dies_costs_its_job_alone(tasks, lines, tmp_path):
    """Its job is begun again, a few times at most; all others are done once."""
    folder = str(tmp_path / "notes")
    dying = [Job("farm_tasks.die", {"folder": folder, "number": 100 + times, "times": times}) for times in (1, 9)]
    with open_workers(2) as workers, Store() as store:
        outcomes = [*run([dying[0], *squares(tmp_path, 4), dying[1]], store, workers)]
    assert [outcome.value for outcome in outcomes] == ["alive", 0, 1, 4, 9, None]
    assert outcomes[-1].failure == f"the process that did it died, {TRIES} times"
    assert lines() == {"begun": 4 + 2 + TRIES, "ended": 4}


def test_jobs_are_drawn_when_they_are_needed(tasks, lines, tmp_path):
    """Of endless jobs no more are drawn than run, and what is already done is drawn up to a bound."""
    drawn = 0

    def endless() -> Iterator[Job]:
        nonlocal drawn
        for number in itertools.count():
            drawn += 1
            yield Job("builtins.abs", {}) if number else squares(tmp_path, 1)[0]

    with Store() as store:
        assert next(run(endless(), store, Here())).value == 0
        assert drawn == 2
        store.keep(Job("builtins.abs", {}), (0.0, "1", "", b""))
        next(run(endless(), store, Here()))
    assert drawn == 2 + AHEAD


def test_after_its_time_a_run_begins_nothing(tasks, lines, tmp_path):
    """What is done has outcomes, the rest has none."""
    with Store() as store:
        [*run(squares(tmp_path, 3)[1:2], store, Here())]
        assert [outcome.value for outcome in run(squares(tmp_path, 3), store, Here(), until=time.time())] == [1]
    assert lines() == {"begun": 1, "ended": 1}


RUN = """
import signal
import sys
from pathlib import Path
from bitwright.farm.job import Job
from bitwright.farm.open_workers import open_workers
from bitwright.farm.run import run
from bitwright.farm.store import Store
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let what they start behind them ignore it
    folder = Path(sys.argv[1])
    with Store(folder / "results") as store, open_workers(2) as workers:
        notes = str(folder / "notes")
        jobs = [Job("farm_tasks.square", {"folder": notes, "number": n, "seconds": 0.2 if n < 4 else 60})
                for n in range(6)]
        for outcome in run(jobs, store, workers):
            pass
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_killed_loses_nothing_and_leaves_nothing(tasks, lines, tmp_path, number):
    """What had ended is in the file, which is whole; the processes end with the run; nothing is done twice."""
    script = tmp_path / "script.py"
    script.write_text(RUN)
    process = subprocess.Popen([sys.executable, script, tmp_path], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while lines() != {"begun": 6, "ended": 4} and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    process.communicate()
    workers = {int(line.split()[1]) for path in (tmp_path / "notes").iterdir()
               for line in path.read_text().splitlines()}
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]
    with sqlite3.connect(tmp_path / "results") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert sorted(database.execute("SELECT value FROM jobs")) == [("0",), ("1",), ("4",), ("9",)]
    assert lines() == {"begun": 6, "ended": 4}


def test_two_runs_do_not_share_a_file(tmp_path):
    """The second is refused while the first holds it, and not after."""
    place = tmp_path / "results"
    with Store(place), pytest.raises(InputError, match=f"^'{re.escape(str(place))}' is in use by another run$"):
        Store(place)
    Store(place).close()


def _other(place: Path) -> None:
    with sqlite3.connect(place) as database:
        database.execute("CREATE TABLE mine (x)")
    database.close()


@pytest.mark.parametrize(("make", "says"), [
    (lambda place: place.write_bytes(b"no database, " * 100),
     "cannot use '{}' for results of jobs: file is not a database"),
    (_other, "'{}' does not hold results of jobs; remove it, or use another file"),
    (Path.mkdir, "cannot open '{}': Is a directory")])
def test_another_file_is_refused_and_left_alone(tmp_path, make, says):
    """A sentence says what is wrong; nothing is written over."""
    place = tmp_path / "results"
    make(place)
    before = place.read_bytes() if place.is_file() else b""
    with pytest.raises(InputError, match="^" + re.escape(says.format(place)) + "$"):
        Store(place)
    assert before == (place.read_bytes() if place.is_file() else b"")


def test_there_is_at_least_one_process():
    """None is refused."""
    with pytest.raises(InputError, match=r"^there must be at least 1 process, not 0$"):
        open_workers(0)
