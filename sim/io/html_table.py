"""Tables as HTML, by which objects show themselves in notebooks; every text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from sim.io.bounds import printable
from sim.io.cells import cell_text

__all__ = ["html_table"]


def html_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table with a caption.

    Parameters
    ----------
    title : str
    columns : sequence of str
    rows : iterable of sequence
        As many cells in each as there are columns; the first names the row. None is an empty cell.

    Examples
    --------
    >>> html_table("a<b", ["", "x"], [["<i>", 1234.5]]).count("&lt;")
    2
    """
    head = "".join(f'<th scope="col">{_text(column)}</th>' for column in columns)
    body = "".join(f'<tr><th scope="row">{_text(first)}</th>{"".join(f"<td>{_text(cell)}</td>" for cell in cells)}</tr>'
                   for first, *cells in rows)
    return (f"<table><caption>{_text(title)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


def _text(value: object) -> str:
    return escape(printable(cell_text(value)))
