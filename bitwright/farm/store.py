"""Results of jobs in one SQLite file, which is whole at any moment."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import safetensors.numpy

from bitwright.farm.job import Job
from bitwright.farm.outcome import Outcome
from bitwright.farm.perform import Reply
from sim.errors import InputError
from sim.io.atomic_write import ensure_folder
from sim.io.bounds import shown_path

__all__ = ["Store"]

APPLICATION_ID = 0x42697477
"""Marks a file of ours: "Bitw"."""
VERSION = 1
TABLE = """CREATE TABLE jobs (
    key TEXT PRIMARY KEY, function TEXT NOT NULL, parameters TEXT NOT NULL,
    value TEXT, failure TEXT NOT NULL, seconds REAL NOT NULL, arrays BLOB NOT NULL)"""
MEMORY = ":memory:"


class Store:
    """The results of jobs, by their keys.

    Every result is a transaction of its own: a process may be killed at any moment and loses only what it was doing.
    The file is in SQLite's WAL mode, so that others can read it meanwhile; a second run on it is refused.

    Parameters
    ----------
    path : Path or None
        The file, which is made where there is none; None: in memory.

    Raises
    ------
    InputError
        If the file cannot be opened, holds something else, or another run uses it.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._name = MEMORY if path is None else shown_path(path)
        self._lock = None if path is None else _locked(path)
        try:
            self._database = sqlite3.connect(MEMORY if path is None else path, isolation_level=None)
            with self._refusing():
                self._open()
        except BaseException:
            self._unlock()
            raise

    def _open(self) -> None:
        """Make the table in a new file, and refuse a file of another kind."""
        database = self._database
        if not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("BEGIN")
            database.execute(TABLE)
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {VERSION}")
            database.execute("COMMIT")
        database.execute("PRAGMA synchronous = NORMAL")
        marks = [database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
        if marks != [APPLICATION_ID, VERSION]:
            database.close()
            raise InputError(f"'{self._name}' does not hold results of jobs; remove it, or use another file")

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Say in a sentence what SQLite finds wrong."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise InputError(f"cannot use '{self._name}' for results of jobs: {error}") from None

    def has(self, job: Job) -> bool:
        """Return whether a job is done; one that has failed is not."""
        found = self._database.execute("SELECT value IS NOT NULL FROM jobs WHERE key = ?", (job.key,)).fetchone()
        return found is not None and bool(found[0])

    def keep(self, job: Job, reply: Reply) -> None:
        """Write what came of a job, for good when this returns."""
        seconds, value, failure, arrays = reply
        row = job.key, job.function, json.dumps(dict(job.parameters)), value, failure, seconds, arrays
        with self._refusing():
            self._database.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def outcome(self, job: Job) -> Outcome:
        """Read what came of a job that was kept.

        Raises
        ------
        InputError
            If the file has been damaged.
        KeyError
            If nothing was kept.
        """
        with self._refusing(), closing(self._database.execute(
                "SELECT value, failure, seconds, arrays FROM jobs WHERE key = ?", (job.key,))) as rows:
            row = rows.fetchone()
        if row is None:
            raise KeyError(job.text)
        value, failure, seconds, arrays = row
        return Outcome(job, None if value is None else json.loads(value), failure, seconds,
                       safetensors.numpy.load(arrays) if arrays else {})

    def close(self) -> None:
        """Close the file, which others can then use."""
        self._database.close()
        self._unlock()

    def _unlock(self) -> None:
        """Give up the lock, after SQLite has closed the file: closing it earlier would end SQLite's own locks."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def _locked(path: Path) -> int:
    """Open a file, or make it, and lock it for this process."""
    try:
        ensure_folder(path.parent)
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise InputError(f"cannot open '{shown_path(path)}': {error.strerror}") from None
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(number)
        raise InputError(f"'{shown_path(path)}' is in use by another run") from None
    return number
