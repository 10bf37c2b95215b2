"""Jobs on the workers of a Dask scheduler: a real one, with processes that die."""

from __future__ import annotations

import os
import re
import signal
import time
from functools import cache
from threading import Thread

import pytest

from bitwright.farm import dask_workers
from bitwright.farm.dask_workers import DaskWorkers
from bitwright.farm.job import Job
from bitwright.farm.open_workers import open_workers
from bitwright.farm.run import run
from bitwright.farm.store import Store
from sim.errors import InputError


def test_a_worker_that_is_killed_loses_nothing(tasks, cluster, lines, tmp_path):
    """Of 8 jobs on two workers one is cut off by a kill: it is done by the other worker, all others are done once."""
    address, workers = cluster
    jobs = [Job("farm_tasks.square", {"folder": str(tmp_path / "notes"), "number": number, "seconds": 0.4})
            for number in range(8)]
    cut_off = tmp_path / "notes" / "2"

    def kill() -> None:
        """Kill the worker that has begun job 2."""
        for _ in range(1000):
            if cut_off.exists() and len(words := cut_off.read_text().split()) == 2:
                os.kill(int(words[1]), signal.SIGKILL)
                return
            time.sleep(0.02)

    killer = Thread(target=kill)
    with DaskWorkers(address, 1) as farm, Store() as store:
        killer.start()
        outcomes = [*run(jobs, store, farm)]
    killer.join()
    assert [outcome.value for outcome in outcomes] == [number * number for number in range(8)]
    assert sum(worker.poll() == -signal.SIGKILL for worker in workers) == 1
    assert lines() == {"begun": 9, "ended": 8}
    assert cut_off.read_text().count("begun") == 2


@pytest.mark.nightly
def test_a_job_that_kills_its_workers_fails_alone(tasks, lines, tmp_path):
    """On a cluster that is started for the run; the other jobs are done."""
    folder = str(tmp_path / "notes")
    jobs = [Job("farm_tasks.die", {"folder": folder, "number": 100, "times": 99}),
            Job("farm_tasks.square", {"folder": folder, "number": 3})]
    with open_workers(2, "local") as farm, Store() as store:
        assert [(outcome.value, outcome.failure) for outcome in run(jobs, store, farm)] == [
            (None, "the worker that did it died, 4 times"), (9, "")]


@pytest.mark.nightly
def test_workers_of_other_sources_are_refused(cluster, monkeypatch):
    """Results of two versions are never mixed."""
    monkeypatch.setattr(dask_workers, "PACKAGES", ("bitwright",))
    monkeypatch.setattr(dask_workers, "sources_digest", cache(dask_workers.sources_digest.__wrapped__))
    with pytest.raises(InputError, match=r"^worker tcp://\S+ has other sources of Bitwright than this process$"):
        DaskWorkers(cluster[0], 1)


def test_where_no_scheduler_answers_a_sentence_says_so(monkeypatch):
    """The address is named."""
    monkeypatch.setattr(dask_workers, "CONNECT_SECONDS", 0.2)
    with pytest.raises(InputError, match=r"^no Dask scheduler answers at 'tcp://127\.0\.0\.1:1': "):
        open_workers(1, "tcp://127.0.0.1:1")


def test_without_dask_a_sentence_says_what_to_install(monkeypatch):
    """Nothing else of the farm needs it."""
    monkeypatch.setattr("bitwright.farm.open_workers.find_spec", lambda name: None)
    says = ("work on a Dask scheduler needs the package distributed, which is not installed: pip install "
            "'bitwright[farm]'")
    with pytest.raises(InputError, match=f"^{re.escape(says)}$"):
        open_workers(1, "tcp://127.0.0.1:1")
