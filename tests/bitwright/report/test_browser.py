"""The page in a browser: no complaint, nothing fetched; tables sort, marks talk, and it fits screens and paper."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from bitwright.cli.app import main

SHAPES = ("{name: n, inputs: {x: {channels: 8, height: 6, width: 6, bits: 8}}, layers: [{name: first, channels: 8}, "
          "{name: '<script>alert(1)< b>', channels: 4}]}")
PICTURES = os.environ.get("BITWRIGHT_TEST_PICTURES")
"""Folder to which pictures of the pages are written, to be looked at; none are kept without it."""

pytestmark = pytest.mark.slow


@pytest.fixture
def page(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Any]:
    """The report of two choices of bits, and their estimates."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "n.yaml").write_text(SHAPES)
    assert main(["estimate", "n.yaml", "-b", "4", "-b", "2", "-m", "tiny", "--json"]) == 0
    text = capfd.readouterr().out
    (tmp_path / "run.json").write_text(text)
    assert main(["report", "run.json"]) == 0
    return tmp_path / "report.html", json.loads(text)


def test_the_browser_has_nothing_to_complain_about(browser: Any, page: tuple[Path, Any]) -> None:
    """No script fails, the policy refuses nothing, and the page asks for itself alone."""
    browser.open(page[0])
    assert browser.value("document.querySelectorAll('script').length") == 1
    assert browser.complaints == []
    assert browser.requested == [page[0].as_uri()]


def test_the_numbers_of_the_browser_are_those_of_the_json(browser: Any, page: tuple[Path, Any]) -> None:
    """Read back from the page, every layer's cycles and energy of each choice are exact."""
    browser.open(page[0])
    tables = browser.value("""[...document.querySelectorAll("table")].map(table => [table.caption.textContent,
        [...table.tBodies[0].rows].map(row => [...row.cells].map(cell => cell.dataset.value ?? cell.textContent))])""")
    found = dict(tables)
    for name, choice in page[1]["choices"].items():
        rows = [[layer["name"], layer["latency_cycles"], layer["energy"]["nominal_pj"] / 1e3]
                for layer in choice["layers"]]
        assert [[row[0], int(row[5]), float(row[8])] for row in found[f"layers of {name}"]] == rows


def test_tables_sort_by_exact_numbers_and_say_so(browser: Any, page: tuple[Path, Any]) -> None:
    """A head that is pressed sorts by its column, pressed again the other way round; text and numbers alike."""
    browser.open(page[0])
    table = "[...document.querySelectorAll('table')].find(one => one.caption.textContent === 'layers of 4/4')"
    layers = page[1]["choices"]["4/4"]["layers"]

    def press(column: int) -> tuple[list[str], str]:
        browser.value(f"{table}.tHead.rows[0].cells[{column}].querySelector('button').click()")
        return (browser.value(f"[...{table}.tBodies[0].rows].map(row => row.cells[0].textContent)"),
                browser.value(f"{table}.tHead.rows[0].cells[{column}].getAttribute('aria-sort')"))

    by_cycles = [layer["name"] for layer in sorted(layers, key=lambda layer: layer["latency_cycles"])]
    assert press(5) == (by_cycles, "ascending")
    assert press(5) == (by_cycles[::-1], "descending")
    names, order = press(0)
    assert order == "ascending"
    assert {*names} == {*by_cycles}
    assert browser.value(f"{table}.tHead.rows[0].cells[5].getAttribute('aria-sort')") == "none"


def test_marks_say_their_numbers_to_pointer_and_keys(browser: Any, page: tuple[Path, Any]) -> None:
    """Pointed at, a mark shows its label; a figure is one stop of the Tab key, and arrows go on from mark to mark."""
    browser.size(1280)
    browser.open(page[0])
    figure = "[...document.querySelectorAll('figure')].find(one => one.textContent.startsWith('cycles per layer, 4/4'))"
    browser.value(f"{figure}.scrollIntoView()")
    browser.settle()
    x, y = browser.value(f"(box => [box.x + 5, box.y + box.height / 2])({figure}.querySelectorAll('.mark')[1]"
                         ".getBoundingClientRect())")
    browser.point_at(x, y)
    cycles = page[1]["choices"]["4/4"]["layers"]
    shown = browser.value("document.getElementById('tip').hidden ? '' : document.getElementById('tip').textContent")
    assert shown.startswith(f"first, cycles\nall {cycles[1]['latency_cycles']:,}\n")
    assert browser.value(f"{figure}.querySelectorAll('.mark[tabindex=\"0\"]').length") == 1
    browser.value(f"{figure}.querySelector('.mark').focus()")
    browser.press("ArrowDown")
    browser.press("ArrowDown")
    assert browser.value("document.activeElement.getAttribute('aria-label')").startswith("<script>alert(1)< b>, cycles")
    assert browser.value("document.getElementById('tip').hidden") is False
    browser.press("Escape")
    assert browser.value("document.getElementById('tip').hidden") is True


@pytest.mark.parametrize(("name", "width", "media"), [("desktop", 1280, "screen"), ("phone", 390, "screen"),
                                                      ("paper", 687, "print")])
def test_the_page_fits(browser: Any, page: tuple[Path, Any], name: str, width: int, media: str) -> None:
    """Nothing sticks out of the page at the width of a desktop, a phone and A4 paper: what is wider scrolls in its box,
    and on paper nothing is wider."""
    browser.size(width, media)
    browser.open(page[0])
    assert browser.value("document.documentElement.scrollWidth") <= width
    if media == "print":
        assert browser.value("[...document.querySelectorAll('.wide')].filter(box => box.offsetParent && "
                             "box.scrollWidth > box.clientWidth + 1).map(box => box.ariaLabel)") == []
    picture = browser.picture()
    assert picture.startswith(b"\x89PNG")
    if PICTURES:
        Path(PICTURES, f"report-{name}.png").write_bytes(picture)
