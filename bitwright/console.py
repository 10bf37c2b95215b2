"""Results on stdout, messages and progress on stderr."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

__all__ = ["Report", "Steps", "message", "show", "steps", "to_json"]

MAX_WIDTH = 1000
"""A table is never cut: it may be wider than the terminal, up to this [characters]."""

_messages = Console(stderr=True, highlight=False)


class Report:
    """Something to show: `data` for machines, `tables` and `lines` for people."""

    def __init__(self, data: object) -> None:
        self.data = data
        self.tables: list[Table] = []
        self.lines: list[str] = []

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Add a table; numbers are set flush right."""
        table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
        for index, column in enumerate(columns):
            numeric = all(isinstance(row[index], int | float) for row in rows)
            table.add_column(column, justify="right" if numeric else "left", no_wrap=True)
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
    for table in report.tables:
        needed = Console(width=MAX_WIDTH).measure(table).maximum
        Console(highlight=False, width=max(needed, Console().width)).print(table)
    for line in report.lines:
        print(line)


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
    _messages.print(text, markup=False, soft_wrap=True)


class Steps:
    """Progress on stderr: a bar with the present note on a terminal, a line per finished step elsewhere."""

    def __init__(self, bars: Progress, title: str, total: int) -> None:
        self._bars, self._live = bars, _messages.is_terminal
        self._task = bars.add_task(title, total=total, note="")

    def note(self, text: str) -> None:
        """What is being done now."""
        self._bars.update(self._task, note=text)

    def done(self, text: str) -> None:
        """A step is finished."""
        self._bars.update(self._task, advance=1, note=text)
        if not self._live:
            message(text)


@contextmanager
def steps(title: str, total: int) -> Iterator[Steps]:
    """Show the progress of `total` steps while the block runs."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[note]}"),
               TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_messages, disable=not _messages.is_terminal) as bars:
        yield Steps(bars, title, total)
