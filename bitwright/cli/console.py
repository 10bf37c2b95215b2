"""Results on stdout, messages and progress on stderr; this is the one place where text reaches a terminal.

Names come from files: they are shown as they are, never as markup, and with escapes for all that is not printable.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from time import monotonic

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from bitwright.cli.manner import MANNER
from bitwright.cli.origin import origin
from bitwright.codesign.json_text import to_json
from sim.errors import InputError
from sim.io.bounds import printable
from sim.io.cells import cell_text

__all__ = ["Report", "Steps", "failure", "failure_data", "finish", "message", "prepare", "settle", "show", "steps"]

MAX_WIDTH = 1000
"""A table is never cut: it may be wider than the terminal, up to this [characters]."""
MAX_ROWS = 1000
"""Rows of a table that are shown: laying out each takes milliseconds. JSON has all."""

_messages = Console(stderr=True, highlight=False)


def prepare() -> None:
    """Make the standard streams take any text, and keep files from getting their numbers where they are closed.

    A letter that the encoding of a stream lacks is written as an escape. Warnings of Pillow are not shown: what
    they are about is refused in a sentence, or harmless.
    """
    MANNER.begin()
    warnings.filterwarnings("ignore", module=r"PIL\.")
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class Report:
    """Something to show: `data` for machines, `tables` and `lines` for people."""

    def __init__(self, data: object) -> None:
        self.data = data
        self.tables: list[tuple[str, Table]] = []
        self.lines: list[str] = []

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Add a table; numbers are set flush right. Of more than MAX_ROWS rows the first are shown; a line says so."""
        table = Table(box=SIMPLE_HEAD)
        for index, column in enumerate(columns):
            numeric = all(isinstance(row[index], int | float) for row in rows)
            table.add_column(Text(printable(column)), justify="right" if numeric else "left", no_wrap=True)
        for row in rows[:MAX_ROWS]:
            table.add_row(*(Text(printable(cell_text(value))) for value in row))
        self.tables.append((printable(title), table))
        if len(rows) > MAX_ROWS:
            self.lines.append(f"{title}: the first {MAX_ROWS:,} of {len(rows):,} rows; --json has all")


def show(report: Report, as_json: bool) -> None:
    """Print a report on stdout; errors as for `finish`."""
    with _writing():
        _print(report, as_json)


def finish() -> None:
    """Write what stdout holds back.

    Raises
    ------
    InputError
        If stdout cannot be written: the result is lost.
    SystemExit
        With status 1 and without a word if the reader of stdout has gone, as `head` goes when it has enough.
    """
    with _writing():
        pass


def settle() -> None:
    """Give up what the standard streams hold back and cannot write: the end of Python would fail on it again."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise SystemExit(1) from None
        raise InputError(f"cannot write the result to stdout: {error.strerror}") from error


def _print(report: Report, as_json: bool) -> None:
    MANNER.answered = True
    if as_json:
        print(to_json(_with_origin(report.data)))
        return
    for title, table in report.tables:
        needed = Console(width=MAX_WIDTH).measure(table).maximum
        wide = Console(highlight=False, width=max(needed, Console().width))
        wide.print(Text(title, style="bold"), soft_wrap=True)
        wide.print(table)
    for line in report.lines:
        print(printable(line))


def _with_origin(data: object) -> object:
    """Add to the result of a command where it comes from, unless it says so itself."""
    if MANNER.parameters and isinstance(data, dict) and "provenance" not in data:
        return {**data, "provenance": origin()}
    return data


def message(text: str) -> None:
    """Write a line for people to stderr, unless they want quiet; if stderr cannot be written, only this is lost."""
    if not MANNER.quiet:
        _write(text)


def failure(text: str, status: int) -> None:
    """Say what failed, on stderr and, where JSON is wanted and nothing has been printed, as JSON on stdout."""
    _write(f"bitwright: {text}")
    failure_data(text, status)


def failure_data(text: str, status: int) -> None:
    """Say what failed as JSON on stdout, where that is wanted and nothing has been printed."""
    if MANNER.as_json and not MANNER.answered:
        with suppress(OSError):
            print(to_json({"error": {"message": text, "exit_status": status}}))


def _write(text: str) -> None:
    with suppress(OSError):
        _messages.print(Text(printable(text)), soft_wrap=True)


class Steps:
    """Progress on stderr: a bar with the present note on a terminal, lines for finished steps elsewhere."""

    def __init__(self, bars: Progress, title: str, total: int | None, seconds: float) -> None:
        self._bars, self._live = bars, _messages.is_terminal
        self._task = bars.add_task(printable(title), total=total, note="")
        self._seconds, self._written = seconds, monotonic() - seconds

    def note(self, text: str) -> None:
        """Show what is being done now."""
        self._bars.update(self._task, note=printable(text))

    def done(self, text: str) -> None:
        """Count a finished step, and describe it."""
        self._bars.update(self._task, advance=1, note=printable(text))
        if not self._live and (monotonic() - self._written >= self._seconds or self._bars.finished):
            self._written = monotonic()
            message(text)

    def message(self, text: str) -> None:
        """Write a sentence to stderr, also while a bar is shown."""
        message(text)


@contextmanager
def steps(title: str, total: int | None, seconds: float = 0.0) -> Iterator[Steps]:
    """Show the progress of `total` steps, None if that is not known, while the block runs.

    Without a terminal, a line is written once in so many `seconds`, and for the last step.
    """
    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=24),
               TextColumn("{task.fields[note]}", markup=False), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_messages, disable=MANNER.quiet or not _messages.is_terminal) as bars:
        yield Steps(bars, title, total, seconds)
