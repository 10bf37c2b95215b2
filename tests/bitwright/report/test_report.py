"""Reports as their readers get them: the figures are those of the JSON, no name is markup, nothing is fetched."""

from __future__ import annotations

import csv
import json
import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from html.parser import HTMLParser
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from bitwright.cli.app import main
from sim.arch.machine import load_machine
from sim.ir.serialize import save_program
from sim.testing import random_program

HOSTILE = '<script>alert("1")< b>&amp;|`'
SHAPES = ("{name: n, inputs: {x: {channels: 8, height: 6, width: 6, bits: 8}}, layers: [{name: first, channels: 8}, "
          f"{{name: '{HOSTILE}', channels: 4}}]}}")

Run = Callable[..., dict[str, Any]]


class Reader(HTMLParser):
    """What a browser would see of a page.

    Attributes
    ----------
    tags : list of (str, dict)
        Every element and its attributes.
    tables : dict of str to list of rows
        By their captions; a cell is its text and its exact value, if it has one.
    labels : list of str
        Of marks in figures.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[tuple[str, str | None]]]] = {}
        self.labels: list[str] = []
        self.texts: dict[str, str] = {}
        self._rows: list[list[tuple[str, str | None]]] = []
        self._cell: tuple[str, str | None] | None = None
        self._open = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        self._open = tag
        if found.get("class") == "mark":
            self.labels.append(found["aria-label"] or "")
        if tag == "table":
            self._rows = []
        if tag == "tr":
            self._rows.append([])
        if tag in ("td", "th"):
            self._cell = "", found.get("data-value")

    def handle_data(self, data: str) -> None:
        self.texts[self._open] = self.texts.get(self._open, "") + data
        if self._cell is not None:
            self._cell = self._cell[0] + data, self._cell[1]
        if self._open == "caption":
            self.tables[data] = self._rows

    def handle_endtag(self, tag: str) -> None:
        self._open = ""
        if tag in ("td", "th") and self._cell is not None:
            self._rows[-1].append(self._cell)
            self._cell = None


@pytest.fixture
def command(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in an empty folder; its JSON."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> dict[str, Any]:
        status = main([*map(str, words), "--json"])
        found: dict[str, Any] = json.loads(capfd.readouterr().out)
        return found | {"status": status}
    return run


@pytest.fixture
def estimate(command: Run, tmp_path: Path) -> dict[str, Any]:
    """An estimate in `run.json`, of a network one of whose layers is called HOSTILE."""
    (tmp_path / "n.yaml").write_text(SHAPES)
    data = command("estimate", "n.yaml", "-b", "4", "-m", "tiny")
    (tmp_path / "run.json").write_text(json.dumps(data))
    return data


def numbers(row: list[tuple[str, str | None]]) -> list[float]:
    return [float(value) for _, value in row if value is not None]


def test_the_page_has_every_number_of_an_estimate(command: Run, estimate: dict[str, Any], tmp_path: Path) -> None:
    """Cells hold the numbers of the JSON exactly; what is shown is what they are rounded to."""
    told = command("report", "run.json")
    assert told["report"] == "report.html"
    page = Reader((tmp_path / "report.html").read_text())
    rows = page.tables["layers"][1:]
    for layer, row in zip(estimate["layers"], rows, strict=True):
        energy = layer["energy"]
        assert row[0][0] == layer["name"]
        assert numbers(row) == [*layer["bits"], layer["macs"], layer["latency_cycles"], 100 * layer["utilisation"],
                                *(energy[f"{end}_pj"] / 1e3 for end in ("nominal", "low", "high")),
                                layer["weight_bytes"]]
        assert row[5][0] == f"{layer['latency_cycles']:,}"
    components = {row[0][0]: numbers(row)[0] for row in page.tables["energy by component"][1:]}
    assert components == {name: part["nominal_pj"] / 1e3 for name, part in estimate["by_component"].items()
                          if part["high_pj"]}
    for row, value in zip(page.tables["figures"][1:], estimate["figures"].values(), strict=True):
        assert numbers(row) == [value["nominal"] if isinstance(value, dict) else value]
    areas = estimate["area"]["by_part"]
    assert {row[0][0]: numbers(row)[0] for row in page.tables["parts of the machine"][1:]} == {
        part: band["nominal"] for part, band in areas.items()}


def test_bars_are_as_long_as_their_numbers(command: Run, estimate: dict[str, Any], tmp_path: Path) -> None:
    """Read back through the numbers of the axis, the parts of each bar together are as long as the layer's cycles; a
    part is at least 0.4 wide, so that it is seen."""
    command("report", "run.json", "--format", "svg")
    drawn = ElementTree.parse(tmp_path / "report.svg").getroot()
    space = "{http://www.w3.org/2000/svg}"
    (figure,) = (one for one in drawn.iter(f"{space}svg") if one.findtext(f"{space}title") == "cycles per layer")
    marks = [mark for mark in figure.iter(f"{space}g") if mark.get("class") == "mark"]
    lengths = [sum(float(part.get("width", 0)) for part in mark.findall(f"{space}rect")[1:]) for mark in marks]
    ticks = [(float(line.get("d", "")[1:].partition(" ")[0]), float((text.text or "").replace("k", "e3")))
             for line, text in pairwise(figure) if line.get("stroke") == "#dddddd" and text.tag == f"{space}text"]
    (left, zero), (right, most) = ticks[0], ticks[-1]
    assert zero == 0
    cycles = [layer["latency_cycles"] for layer in estimate["layers"]]
    assert len(lengths) == len(cycles)
    assert lengths == pytest.approx([(right - left) * count / most for count in cycles], abs=0.4 * 8)
    for mark, layer in zip(marks, estimate["layers"], strict=True):
        label = mark.get("aria-label", "")
        assert label.startswith(f"{layer['name']}, cycles: all {layer['latency_cycles']:,}; ")


def test_no_name_is_taken_for_markup(command: Run, estimate: dict[str, Any], tmp_path: Path) -> None:
    """The page has its own script and no other, the name as text, and the same elements whatever a layer is called."""
    command("report", "run.json")
    hostile = Reader((tmp_path / "report.html").read_text())
    plain = Reader((tmp_path / "report.html").read_text().replace("&lt;script&gt;", "plain"))
    assert [tag for tag, _ in hostile.tags].count("script") == 1
    assert HOSTILE in hostile.texts["th"]
    assert any(label.startswith(HOSTILE) for label in hostile.labels)
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    assert not any(name.startswith("on") for _, attributes in hostile.tags for name in attributes)
    command("report", "run.json", "--format", "md")
    assert "<script>" not in (tmp_path / "report.md").read_text()


def test_the_page_needs_nothing_and_allows_nothing(command: Run, estimate: dict[str, Any], tmp_path: Path) -> None:
    """No element names another file, and the policy has the hashes of the only style and script."""
    command("report", "run.json")
    page = Reader((tmp_path / "report.html").read_text())
    for tag, attributes in page.tags:
        assert tag not in ("link", "img", "iframe", "object", "embed")
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
    (policy,) = (str(attributes["content"]) for _, attributes in page.tags if "http-equiv" in attributes)
    hashes = [b64encode(sha256(page.texts[tag].encode()).digest()).decode() for tag in ("style", "script")]
    assert policy == f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'"


def test_everything_has_a_name_for_who_does_not_see_it(command: Run, estimate: dict[str, Any], tmp_path: Path) -> None:
    """Figures are titled and described, marks labelled, heads say how a table is sorted, regions what they are."""
    command("report", "run.json")
    page = Reader((tmp_path / "report.html").read_text())
    named = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    for tag, attributes in page.tags:
        if tag == "svg":
            assert {attributes["aria-labelledby"], attributes["aria-describedby"]} <= named
        if tag == "th" and attributes.get("scope") == "col":
            assert attributes["aria-sort"] == "none"
        if attributes.get("role") == "region":
            assert attributes["aria-label"]
    identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identifiers) == len({*identifiers})
    assert all(page.labels)


def test_all_formats_have_the_same_numbers(command: Run, estimate: dict[str, Any], tmp_path: Path) -> None:
    """JSON and CSV are exact, with bands; Markdown shows them rounded."""
    for kind in ("json", "csv", "md"):
        assert command("report", "run.json", "-o", f"r.{kind}")["format"] == kind
    sections = json.loads((tmp_path / "r.json").read_text())["sections"]
    (layers,) = (block for section in sections for block in section["blocks"] if block["title"] == "layers")
    column = layers["columns"].index("cycles")
    cycles = [layer["latency_cycles"] for layer in estimate["layers"]]
    assert [row[column] for row in layers["rows"]] == cycles
    rows = list(csv.DictReader(StringIO((tmp_path / "r.csv").read_text())))
    assert [int(row["value"]) for row in rows if row["table"] == "layers" and row["column"] == "cycles"] == cycles
    (energy,) = (row for row in rows if row["row"] == "energy [mJ]")
    assert {end: float(energy[end]) for end in ("low", "high")} == {
        end: estimate["figures"]["energy_mj"][end] for end in ("low", "high")}
    text = (tmp_path / "r.md").read_text()
    assert all(f"| {count:,} |" in text for count in cycles)


def test_cells_of_csv_are_no_formulas(command: Run, tmp_path: Path) -> None:
    """A layer whose name a spreadsheet would compute is written as text."""
    (tmp_path / "n.yaml").write_text(SHAPES.replace("first", "'=1+1'"))
    (tmp_path / "run.json").write_text(json.dumps(command("estimate", "n.yaml", "-m", "tiny")))
    command("report", "run.json", "--format", "csv")
    rows = {row["row"] for row in csv.DictReader(StringIO((tmp_path / "report.csv").read_text()))}
    assert "'=1+1" in rows
    assert "=1+1" not in rows


def test_choices_of_bits_are_side_by_side(command: Run, tmp_path: Path) -> None:
    """Each choice has its row, a point over latency and energy, and sections of its own."""
    (tmp_path / "n.yaml").write_text(SHAPES)
    data = command("estimate", "n.yaml", "-b", "4", "-b", "2", "-m", "tiny")
    (tmp_path / "run.json").write_text(json.dumps(data))
    told = command("report", "run.json")
    assert told["sections"][0] == "Choices of bits"
    assert {"Layers of 4/4", "Layers of 2/2"} <= {*told["sections"]}
    page = Reader((tmp_path / "report.html").read_text())
    assert [(row[0][0], numbers(row)[0]) for row in page.tables["choices of bits"][1:]] == [
        (name, choice["latency_cycles"]) for name, choice in data["choices"].items()]


def test_a_program_with_a_machine_is_estimated(command: Run, tmp_path: Path) -> None:
    """The report is that of the estimate of the same Program, but for what the command was told."""
    save_program(random_program(np.random.default_rng(11), load_machine("tiny"), layers=2), tmp_path / "p.safetensors")
    (tmp_path / "run.json").write_text(json.dumps(command("estimate", "p.safetensors", "-m", "tiny")))
    command("report", "run.json", "-o", "a.json")
    command("report", "p.safetensors", "-m", "tiny", "-o", "b.json")
    one, other = (json.loads((tmp_path / name).read_text())["sections"] for name in ("a.json", "b.json"))
    assert one[:-1] == other[:-1]
    assert one[-1]["title"] == "Provenance"
    files = [block for block in other[-1]["blocks"] if block["title"] == "files"]
    assert files[0]["rows"] == [["p.safetensors", str((tmp_path / "p.safetensors").stat().st_size),
                                 sha256((tmp_path / "p.safetensors").read_bytes()).hexdigest()]]


@pytest.mark.parametrize(("text", "sentence"), [
    ("[]", "expected the JSON of a command, an object"),
    ("{}", "it is not what one of these commands writes: demo, train, quantize, estimate, verify, compare, explore"),
    ('{"error": {"message": "no memory"}}', "that command failed: no memory"),
    ('{"provenance": 3}', "provenance must be an object"),
    ('{"choices": {}}', "choices must be estimates by their bits"),
    ('{"layers": [], "over_data": {}}', "clock_mhz: Field required"),
    ('{"a": 1e999}', "not JSON: 1e999 is too large a number"),
    ("{", "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)")])
def test_what_is_no_run_is_refused(command: Run, tmp_path: Path, text: str, sentence: str) -> None:
    """One sentence says what is missing; nothing is written."""
    (tmp_path / "run.json").write_text(text)
    found = command("report", "run.json")
    assert found["status"] == 1
    assert found["error"]["message"] == f"run 'run.json': {sentence}"
    assert not (tmp_path / "report.html").exists()


def test_an_estimate_of_another_version_is_refused(command: Run, estimate: dict[str, Any], tmp_path: Path) -> None:
    """An event that this version does not know is named."""
    estimate["layers"][0]["energy"]["by_event"]["warp"] = {"low_pj": 0, "nominal_pj": 0, "high_pj": 0}
    (tmp_path / "run.json").write_text(json.dumps(estimate))
    assert command("report", "run.json")["error"]["message"] == (
        "run 'run.json': no event or component is called 'warp'")


@pytest.mark.parametrize(("words", "message"), [
    (["run.json", "-o", "run.json"],
     "'run.json' is read by this command and would be written over: write somewhere else"),
    (["run.json", "-o", "r.txt"],
     "a report is *.html, *.md, *.json, *.csv, *.svg, not 'r.txt'; --format says what to write"),
    (["p.safetensors"], "'p.safetensors' is a network: --machine says on which machine it is to be estimated"),
    (["."], "folder '.' has no summary.json, as demo, train and quantize write it, and no results.sqlite of explore"),
    (["nothing.json"], "no run 'nothing.json'")])
def test_what_cannot_be_reported_is_said(command: Run, estimate: dict[str, Any], words: list[str],
                                         message: str) -> None:
    """One sentence each."""
    assert command("report", *words)["error"]["message"] == message


def test_a_long_network_is_drawn_in_part(command: Run, tmp_path: Path) -> None:
    """Of more bars than fit the longest are drawn, and the figure says so; the table has all."""
    layers = ", ".join(f"{{name: l{number}, channels: {8 if number % 2 else 16}}}" for number in range(160))
    (tmp_path / "n.yaml").write_text(f"{{name: n, inputs: {{x: {{channels: 8, height: 2, width: 2, bits: 8}}}}, "
                                     f"layers: [{layers}]}}")
    (tmp_path / "run.json").write_text(json.dumps(command("estimate", "n.yaml", "-b", "2", "-m", "tiny")))
    command("report", "run.json")
    text = (tmp_path / "report.html").read_text()
    page = Reader(text)
    assert len(page.tables["layers"]) == 163
    assert "The 150 longest of 162 are drawn." in text
    assert sum(", cycles: all" in label for label in page.labels) == 150


def test_reports_are_the_same_every_time(command: Run, estimate: dict[str, Any], tmp_path: Path) -> None:
    """The same run gives the same bytes."""
    command("report", "run.json", "-o", "a.html")
    command("report", "run.json", "-o", "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_letters_of_no_meaning_are_shown_as_escapes(command: Run, estimate: dict[str, Any], tmp_path: Path) -> None:
    """A control character in a name is not written into the page."""
    estimate["layers"][0]["name"] = "a\x1b[2J\x00"
    (tmp_path / "run.json").write_text(json.dumps(estimate))
    command("report", "run.json")
    text = (tmp_path / "report.html").read_text()
    assert re.search(r"a\\x1b\[2J\\x00", text)
    assert not {*"\x1b\x00"} & {*text}
