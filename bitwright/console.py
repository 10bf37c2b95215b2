"""Results on stdout, messages and progress on stderr."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

__all__ = ["Report", "message", "progress", "show", "to_json"]

_messages = Console(stderr=True, highlight=False)


class Report:
    """Something to show: `data` for machines, `tables` and `lines` for people."""

    def __init__(self, data: object) -> None:
        self.data = data
        self.tables: list[Table] = []
        self.lines: list[str] = []

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Add a table; numbers are set flush right."""
        table = Table(title=title, title_justify="left", title_style="bold")
        for index, column in enumerate(columns):
            numeric = all(isinstance(row[index], int | float) for row in rows)
            table.add_column(column, justify="right" if numeric else "left")
        for row in rows:
            table.add_row(*(_cell(value) for value in row))
        self.tables.append(table)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def show(report: Report, as_json: bool) -> None:
    """Print a report on stdout."""
    if as_json:
        print(to_json(report.data))
        return
    console = Console(highlight=False)
    for table in report.tables:
        console.print(table)
    for line in report.lines:
        console.print(line, markup=False)


def to_json(data: object) -> str:
    """JSON text of plain data, dataclasses and NumPy scalars."""
    return json.dumps(data, indent=2, default=_plain)


def _plain(value: Any) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


def message(text: str) -> None:
    """A line for people on stderr."""
    _messages.print(text, markup=False)


@contextmanager
def progress() -> Iterator[Progress]:
    """A progress display on stderr that leaves its finished lines behind."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[note]}"),
               TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_messages) as bars:
        yield bars
