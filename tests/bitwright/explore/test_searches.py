"""Searches by Optuna and on Dask: what is proposed, and that nothing depends on who evaluates it or on what dies."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing

import pytest

from bitwright.explore import evaluate as evaluation
from bitwright.explore import explore as exploration
from bitwright.explore.explore import explore
from bitwright.farm.open_workers import open_workers
from bitwright.farm.workers import Here
from sim.errors import InputError


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Let a small space be many jobs."""
    monkeypatch.setattr(exploration, "BATCH", 2)


def searched(space, method, candidates, seed=0):
    """Write the space with another search."""
    text = space.read_text().partition("search:")[0]
    space.write_text(f"{text}search: {{method: {method}, candidates: {candidates}, seed: {seed}}}\n")
    return space


@pytest.mark.parametrize("method", ["nsga2", "tpe"])
def test_proposals_are_legal_and_new(space, tmp_path, tables, method):
    """The same for the same seed, others for another; more are the same and some that follow, until nothing is new."""
    explore(space, tmp_path / "all", Here())
    legal = {row[0]: row[2:] for row in tables(tmp_path / "all" / "results.sqlite")["candidates"]}
    found = {}
    for seed, count in ((0, 20), (1, 20), (0, 1000)):
        result = explore(searched(space, method, count, seed), tmp_path / f"{seed} {count}", Here())
        rows = tables(tmp_path / f"{seed} {count}" / "results.sqlite")["candidates"]
        found[seed, count] = [row[0] for row in sorted(rows, key=lambda row: row[1])]
        assert {row[0]: row[2:] for row in rows}.items() <= legal.items()
        assert result.evaluated == len(rows) == len({*found[seed, count]}) <= count
    assert len(found[0, 20]) == len(found[1, 20]) == 20 < len(found[0, 1000])
    assert found[0, 1000][:20] == found[0, 20] != found[1, 20]


def test_a_search_that_is_stopped_goes_on(space, tmp_path, tables, monkeypatch):
    """NSGA-II, stopped and gone on with on two processes, ends where one process ends; nothing is done twice."""
    searched(space, "nsga2", 55)
    explore(space, tmp_path / "whole", Here())
    evaluate, batches = evaluation.evaluate, []

    def stopping(**given):
        if len(batches) == 20:
            raise KeyboardInterrupt
        batches.append(given["candidates"])
        return evaluate(**given)

    monkeypatch.setattr(evaluation, "evaluate", stopping)
    with pytest.raises(KeyboardInterrupt):
        explore(space, tmp_path / "stopped", Here())
    monkeypatch.setattr(evaluation, "evaluate", evaluate)
    with open_workers(2) as workers:
        explore(space, tmp_path / "stopped", workers)
    assert tables(tmp_path / "stopped" / "results.sqlite") == tables(tmp_path / "whole" / "results.sqlite")
    with closing(sqlite3.connect(tmp_path / "stopped" / "results.sqlite")) as database:
        ((jobs,),) = database.execute("SELECT count(*) FROM jobs")
    with closing(sqlite3.connect(tmp_path / "whole" / "results.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM jobs").fetchone() == (jobs,)


def test_a_dask_worker_that_is_killed_changes_nothing(cluster, space, tmp_path, tables):
    """A real scheduler with two workers, of which one dies while it evaluates: all tables are those of one process."""
    explore(space, tmp_path / "here", Here())
    address, processes = cluster

    def kill(stand, within):
        if stand.ended == 10:
            processes[0].kill()

    with open_workers(1, address) as workers:
        explore(space, tmp_path / "dask", workers, kill)
    assert processes[0].wait() == -signal.SIGKILL
    assert processes[1].poll() is None
    assert tables(tmp_path / "dask" / "results.sqlite") == tables(tmp_path / "here" / "results.sqlite")


def test_without_optuna_a_sentence_says_what_to_install(space, tmp_path, monkeypatch):
    """Other searches do without."""
    monkeypatch.setattr(exploration, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^search method tpe needs the package optuna, which is not installed: pip "
                                         r"install 'bitwright\[explore\]'$"):
        explore(searched(space, "tpe", 9), tmp_path, Here())
