"""A report as one page of HTML that needs nothing else: figures are SVG, a few lines of script sort and point."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from importlib.resources import files

from bitwright.report.draw import draw
from bitwright.report.markup import Element, as_html, node
from bitwright.report.page import Block, Cell, Figure, Page, Section, Table, numbers_of
from sim.energy.band import Band
from sim.io.cells import cell_text

__all__ = ["html_page"]

HINT = "Point at a bar or a point for its numbers, or go there by Tab and the arrow keys. Heads of tables sort."


def html_page(page: Page) -> str:
    """Return the page.

    Its own policy allows no other script or style than those in it, and nothing from anywhere else.
    """
    style, script = (files("bitwright.report").joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))
    policy = f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}"
    head = node("head", None, [
        node("meta", charset="utf-8"),
        node("meta", http_equiv="Content-Security-Policy", content=policy),
        node("meta", name="viewport", content="width=device-width, initial-scale=1"),
        node("meta", name="generator", content="bitwright report"),
        node("title", page.title), _raw("style", style)])
    body = node("body", None, [*_body(page), node("div", id="tip", role="status", hidden=""), _raw("script", script)])
    return "<!DOCTYPE html>\n" + as_html(node("html", None, [head, body], lang="en")) + "\n"


def _raw(tag: str, content: str) -> Element:
    """Return a style or a script, which are not escaped, and are ours alone."""
    element = Element(tag)
    element.text = content
    return element


def _hash(content: str) -> str:
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"


def _body(page: Page) -> Iterator[Element]:
    yield node("header", None, [node("h1", page.title), node("p", f"bitwright {page.kind}", class_="kind")])
    if page.highlights:
        yield node("dl", None, (_highlight(name, value) for name, value in page.highlights), class_="highlights")
    links = (node("li", None, [node("a", section.title, href=f"#s{number}")])
             for number, section in enumerate(page.sections))
    yield node("nav", None, [node("ul", None, links)], aria_label="Sections")
    if page.figures:
        yield node("p", HINT, class_="hint")
    yield node("main", None, (_section(section, number) for number, section in enumerate(page.sections)))


def _highlight(name: str, value: Cell) -> Element:
    if not isinstance(value, Band):
        return node("div", None, [node("dt", name), node("dd", cell_text(value), data_value=_exact(value))])
    band = node("small", f"{cell_text(value.low)} to {cell_text(value.high)}")
    return node("div", None, [node("dt", name), node("dd", cell_text(value.nominal), [band], data_value=_exact(value),
                                                     data_low=repr(value.low), data_high=repr(value.high))])


def _section(section: Section, number: int) -> Element:
    blocks = (_block(block, f"f{number}-{place}", section.title) for place, block in enumerate(section.blocks))
    return node("section", None, [node("h2", section.title, id=f"s{number}"),
                                  *(node("p", sentence) for sentence in section.sentences), *blocks],
                aria_labelledby=f"s{number}")


def _block(block: Block, prefix: str, over: str) -> Element:
    """Return a table or a figure; its title is not shown again right under `over`, the section's."""
    hidden = "unseen" if block.title.lower() == over.lower() else None
    if isinstance(block, Table):
        return _scrolled(_table(block, hidden), block.title)
    return _figure(block, prefix, hidden)


def _figure(figure: Figure, prefix: str, hidden: str | None) -> Element:
    numbers = node("details", None, [node("summary", "The numbers of this figure"),
                                     _scrolled(_table(numbers_of(figure)), figure.title)])
    return node("figure", None, [node("figcaption", figure.title, class_=hidden),
                                 _scrolled(draw(figure, prefix), figure.title), numbers])


def _scrolled(element: Element, label: str) -> Element:
    """Return an element in a box that scrolls where it is too narrow, by keys too."""
    return node("div", None, [element], class_="wide", tabindex="0", role="region", aria_label=label)


def _table(table: Table, hidden: str | None = None) -> Element:
    numeric = [all(isinstance(row[column], int | float | Band | None) for row in table.rows)
               and any(row[column] is not None for row in table.rows) for column in range(len(table.columns))]
    heads = (node("th", None, [node("button", name or "name", type="button")], scope="col", aria_sort="none",
                  class_="number" if number else None)
             for name, number in zip(table.columns, numeric, strict=True))
    rows = (node("tr", None, (_cell(value, column == 0) for column, value in enumerate(row))) for row in table.rows)
    return node("table", None, [
        node("caption", table.title, class_=hidden), node("thead", None, [node("tr", None, heads)]),
        node("tbody", None, rows)], class_="sortable")


def _cell(value: Cell, first: bool) -> Element:
    """Return a cell; what it was rounded from is in it as well."""
    number = isinstance(value, int | float | Band)
    band = value if isinstance(value, Band) else None
    return node("th" if first else "td", cell_text(value), scope="row" if first else None,
                class_="number" if number else "text", data_value=_exact(value),
                data_low=None if band is None else repr(band.low), data_high=None if band is None else repr(band.high))


def _exact(value: Cell) -> str | None:
    match value:
        case Band():
            return repr(value.nominal)
        case int() | float():
            return repr(value)
    return None
