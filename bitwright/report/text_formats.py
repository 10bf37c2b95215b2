"""A report as Markdown, as JSON and as one table of all its numbers."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import asdict
from io import StringIO

from bitwright.codesign.json_text import to_json
from bitwright.report.page import Block, Cell, Page, Table, numbers_of
from sim.energy.band import Band
from sim.io.bounds import printable
from sim.io.cells import cell_text

__all__ = ["as_csv", "as_json", "as_markdown"]

SPECIAL = str.maketrans({letter: f"\\{letter}" for letter in "\\`*_{}[]<>#|!&~"})
"""Letters that Markdown would take for more than letters."""


def as_markdown(page: Page) -> str:
    """Return the page as Markdown; figures are the tables of their numbers."""
    return "\n".join(_markdown(page))


def as_json(page: Page) -> str:
    """Return all sections with their tables and the numbers of their figures as JSON, each number exact."""
    return to_json({"title": page.title, "kind": page.kind, "highlights": dict(page.highlights), "sections": [
        {"title": section.title, "sentences": section.sentences, "blocks": [
            {"figure": not isinstance(block, Table), **asdict(_numbers(block))} for block in section.blocks]}
        for section in page.sections]}) + "\n"


def as_csv(page: Page) -> str:
    """Return a row for every number and text: section, table, row, column, value, and the ends of its band."""
    written = StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(("section", "table", "row", "column", "value", "low", "high"))
    for section in page.sections:
        for block in section.blocks:
            table = _numbers(block)
            for row in table.rows:
                for column, value in zip(table.columns[1:], row[1:], strict=True):
                    ends = (value.nominal, value.low, value.high) if isinstance(value, Band) else (value, None, None)
                    writer.writerow(map(_harmless, (section.title, table.title, row[0], column, *ends)))
    return written.getvalue()


def _numbers(block: Block) -> Table:
    return block if isinstance(block, Table) else numbers_of(block)


def _harmless(value: Cell) -> Cell:
    """Return a cell that no spreadsheet takes for a formula."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _markdown(page: Page) -> Iterator[str]:
    yield f"# {_plain(page.title)}\n"
    for name, value in page.highlights:
        yield f"* {_plain(name)}: {_plain(cell_text(value))}"
    for section in page.sections:
        yield f"\n## {_plain(section.title)}\n"
        yield from (f"{_plain(sentence)}\n" for sentence in section.sentences)
        for block in section.blocks:
            yield from _table(_numbers(block))


def _table(table: Table) -> Iterator[str]:
    yield f"**{_plain(table.title)}**\n"
    yield f"| {' | '.join(_plain(column) or ' ' for column in table.columns)} |"
    yield f"|{'|'.join('---' for _ in table.columns)}|"
    for row in table.rows:
        yield f"| {' | '.join(_plain(cell_text(value)) for value in row)} |"
    yield ""


def _plain(text: str) -> str:
    return printable(text).translate(SPECIAL)
