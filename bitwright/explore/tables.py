"""The results of an exploration as tables in a SQLite file, beside the jobs from which they follow.

The tables are those of the last run; docs/explore.md describes them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bitwright.explore.candidate import Evaluated
from bitwright.explore.figures import Bands
from bitwright.explore.finalists import Finalist
from bitwright.explore.legal import Dropped
from bitwright.explore.space import Space
from sim.errors import InputError
from sim.io.bounds import shown_path

__all__ = ["RESULTS", "Tables"]

RESULTS = "results.sqlite"
"""The file, in the folder of a run."""
TABLES = {
    "runs": "finished INTEGER NOT NULL, version TEXT NOT NULL, space TEXT NOT NULL, method TEXT NOT NULL, "
            "seed INTEGER NOT NULL, machine TEXT NOT NULL, technology TEXT NOT NULL, limits TEXT NOT NULL, "
            "objectives TEXT NOT NULL, points INTEGER NOT NULL, dropped INTEGER, evaluated INTEGER, within INTEGER",
    "choices": "candidate INTEGER NOT NULL, network TEXT NOT NULL, choice TEXT NOT NULL, bits TEXT",
    "figures": "candidate INTEGER NOT NULL, network TEXT NOT NULL, figure TEXT NOT NULL, low REAL, nominal REAL, "
               "high REAL",
    "finalists": "candidate INTEGER NOT NULL, network TEXT NOT NULL, quantized INTEGER NOT NULL, accuracy REAL",
    "simulated": "candidate INTEGER NOT NULL, network TEXT NOT NULL, figure TEXT NOT NULL, low REAL, nominal REAL, "
                 "high REAL",
    "checks": "candidate INTEGER NOT NULL, network TEXT NOT NULL, name TEXT NOT NULL, bound REAL NOT NULL, "
              "value REAL NOT NULL, holds INTEGER NOT NULL",
    "dropped": "rule TEXT NOT NULL, machines INTEGER NOT NULL, example TEXT NOT NULL, parameters TEXT NOT NULL"}
COLUMNS = {"candidates": ("candidate INTEGER PRIMARY KEY, position INTEGER NOT NULL, machine INTEGER NOT NULL, "
                          "status TEXT NOT NULL, reason TEXT NOT NULL"),
           "front": "candidate INTEGER PRIMARY KEY"}
"""Tables that have a column of numbers for each parameter, or objective, too."""


class Tables:
    """The tables of a run, made anew.

    Parameters
    ----------
    path : Path
        A SQLite file that is there.
    space : Space
    """

    def __init__(self, path: Path, space: Space) -> None:
        self._name, self._space = shown_path(path), space
        self._parameters = (*space.machine.axes, *space.machine.derived)
        self._database = sqlite3.connect(path, isolation_level=None)
        self._position = 0
        with self._transaction():
            self._make()

    def _make(self) -> None:
        more = {"candidates": self._parameters, "front": tuple(map(str, self._space.wanted))}
        for name, columns in (*TABLES.items(), *COLUMNS.items()):
            own = "".join(f", {_quoted(column)} NUMERIC" for column in more.get(name, ()))
            self._database.execute(f"DROP TABLE IF EXISTS {name}")
            self._database.execute(f"CREATE TABLE {name} ({columns}{own})")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Do all or nothing, and say in a sentence what SQLite finds wrong."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            yield
            self._database.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise InputError(f"cannot write results into '{self._name}': {error}") from None

    def begin(self, run: Mapping[str, Any]) -> None:
        """Write what the run is."""
        with self._transaction():
            names = ", ".join(run)
            self._database.execute(f"INSERT INTO runs ({names}, finished) VALUES ({'?, ' * len(run)}0)",
                                   [value if isinstance(value, int | str) else json.dumps(value)
                                    for value in run.values()])

    def add(self, results: Sequence[Evaluated]) -> None:
        """Write some candidates."""
        with self._transaction():
            for result in results:
                self._add_candidate(result)
                number = result.candidate.number
                for index, network in enumerate(self._space.networks):
                    found = result.networks.get(network.label)
                    bits = None if found is None or found.bits is None else json.dumps(found.bits)
                    self._insert("choices", [(number, network.label, network.choice_names[
                        result.candidate.point.choices[index]], bits)])
                self._insert("figures", self._figures(result))

    def _add_candidate(self, result: Evaluated) -> None:
        one = result.candidate
        self._insert("candidates", [(one.number, self._position, one.point.machine, result.status, result.reason,
                                     *(one.parameters[name] for name in self._parameters))])
        self._position += 1

    def _figures(self, result: Evaluated) -> Iterator[tuple[object, ...]]:
        networks: dict[str, Bands] = {"": result.figures}
        networks |= {name: found.figures for name, found in result.networks.items()}
        for network, bands in networks.items():
            for figure, ends in bands.items():
                yield result.candidate.number, network, figure, *ends

    def end(self, dropped: Iterable[Dropped], front: Sequence[Evaluated], finalists: Sequence[Finalist],
            within: int) -> None:
        """Write what was dropped, the front and its finalists, and that the run is finished."""
        dropped = list(dropped)
        with self._transaction():
            self._insert("dropped", ((one.rule, one.machines, one.example, json.dumps(one.parameters))
                                     for one in dropped))
            self._insert("front", ((one.candidate.number, *one.objectives(self._space.wanted)) for one in front))
            for one in finalists:
                key = one.candidate, one.network
                self._insert("finalists", [(*key, one.quantized, one.accuracy)])
                self._insert("simulated", ((*key, figure, *ends) for figure, ends in one.figures.items()))
                self._insert("checks", ((*key, check.name, check.bound, check.value, check.holds)
                                        for check in one.checks))
            self._database.execute("UPDATE runs SET finished = 1, dropped = ?, evaluated = ?, within = ?",
                                   (sum(one.machines for one in dropped), self._position, within))

    def _insert(self, table: str, rows: Iterable[tuple[object, ...]]) -> None:
        rows = list(rows)
        if rows:
            self._database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._database.close()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
