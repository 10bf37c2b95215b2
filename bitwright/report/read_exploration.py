"""Explorations read from their file of results, as docs/explore.md describes its tables; nothing in it is trusted."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bitwright.report.runs import Explored, ExploreRun
from sim.energy.band import Band
from sim.errors import InputError
from sim.io.bounds import shown, shown_path
from sim.io.regular_file import open_regular

__all__ = ["RESULTS", "read_exploration"]

RESULTS = "results.sqlite"
MOST_BYTES = 1 << 36
STEPS, MOST_STEPS = 1_000_000, 5_000
"""A query is given up after so many times as many steps of SQLite's machine."""
FIXED = ("candidate", "position", "machine", "status", "reason")


def read_exploration(path: Path) -> ExploreRun:
    """Read the tables of an exploration, also of one that still runs.

    Raises
    ------
    InputError
        If the file cannot be read or does not have these tables.
    """
    open_regular(path, "run", MOST_BYTES).close()
    where = f"run '{shown_path(path)}'"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as database:
            calls = iter(range(MOST_STEPS))
            database.set_progress_handler(lambda: next(calls, None) is None, STEPS)
            database.execute("PRAGMA trusted_schema = OFF")
            return _read(database)
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise InputError(f"{where}: it is no file of results of explore: {shown(error)}") from None
    except (TypeError, ValueError, KeyError, RecursionError) as error:
        raise InputError(f"{where}: its tables are not as explore writes them: {shown(error)}") from None


def _read(database: sqlite3.Connection) -> ExploreRun:
    (run,) = _rows(database, "SELECT * FROM runs")
    columns = [name for name in _columns(database, "candidates") if name not in FIXED]
    front = {int(row["candidate"]) for row in _rows(database, "SELECT candidate FROM front")}
    bands: dict[int, dict[str, Band]] = {}
    for row in _rows(database, "SELECT candidate, figure, low, nominal, high FROM figures WHERE network = ''"):
        bands.setdefault(int(row["candidate"]), {})[str(row["figure"])] = Band(
            float(row["low"]), float(row["nominal"]), float(row["high"]))
    choices: dict[int, list[str]] = {}
    for row in _rows(database, "SELECT candidate, choice FROM choices"):
        choices.setdefault(int(row["candidate"]), []).append(str(row["choice"]))
    candidates = tuple(Explored(
        int(row["candidate"]), str(row["status"]), str(row["reason"]), int(row["candidate"]) in front,
        {name: float(row[name]) if isinstance(row[name], float) else int(row[name]) for name in columns},
        ", ".join(choices.get(int(row["candidate"]), ())), bands.get(int(row["candidate"]), {}))
        for row in _rows(database, "SELECT * FROM candidates ORDER BY position"))
    dropped = tuple((str(row["rule"]), int(row["machines"]), str(row["example"]))
                    for row in _rows(database, "SELECT rule, machines, example FROM dropped"))
    return ExploreRun(
        finished=bool(run["finished"]), version=str(run["version"]), space=str(run["space"]), method=str(run["method"]),
        seed=int(run["seed"]), machine=str(run["machine"]), technology=str(run["technology"]),
        limits={str(name): float(limit) for name, limit in json.loads(run["limits"]).items()},
        objectives=tuple(map(str, json.loads(run["objectives"]))), points=int(run["points"]), dropped=dropped,
        candidates=candidates)


def _rows(database: sqlite3.Connection, query: str) -> Iterator[dict[str, Any]]:
    found = database.execute(query)
    names = [column[0] for column in found.description]
    return (dict(zip(names, row, strict=True)) for row in found)


def _columns(database: sqlite3.Connection, table: str) -> list[str]:
    return [column[0] for column in database.execute(f"SELECT * FROM {table} LIMIT 0").description]
