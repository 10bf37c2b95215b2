"""The page on choosing a machine does what it says."""

import os
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from bitwright.cli.app import main
from bitwright.explore.figures import FIGURES
from bitwright.explore.space import NetworkSpace, Search, Space, load_space

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "explore.md").read_text()
SPACES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the commands of the page have run on its space."""
    place = tmp_path_factory.mktemp("page")
    (place / "space.yaml").write_text(SPACES[0])
    (block,) = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for line in block.splitlines():
            program, *arguments = shlex.split(line.removeprefix("$ "))
            assert program == "bitwright"
            assert main(arguments) == 0
    return place


def test_its_numbers_are_right(folder: Path) -> None:
    """Points, machines that are dropped, the size of the front, and that it has few bits only."""
    with closing(sqlite3.connect(folder / "resnet8" / "results.sqlite")) as database:
        ((points, dropped),) = database.execute("SELECT points, dropped FROM runs")
        ((size,),) = database.execute("SELECT count(*) FROM front")
        bits = {choice for choice, in database.execute("SELECT choice FROM front JOIN choices USING (candidate)")}
    assert f"The {points} points" in PAGE
    assert f"why {dropped} machines are none" in PAGE
    assert f"the front: {['no', 'one', 'two', 'three', 'four', 'five', 'six'][size]} candidates" in PAGE
    assert bits == {"2/2"}
    assert len((folder / "front.csv").read_text().splitlines()) == 1 + size


def test_its_tables_are_those_of_the_file(folder: Path) -> None:
    """Every table has its row, and every column is named there."""
    listed = {name: {*re.findall(r"`(\w+)`", columns)} for name, columns in
              re.findall(r"^\| `(\w+)` \| .*? \| (.*) \|$", PAGE.partition("| table |")[2], re.MULTILINE)}
    parameters = {*load_space(folder / "space.yaml")[0].machine.values}
    with closing(sqlite3.connect(folder / "resnet8" / "results.sqlite")) as database:
        tables = {name for name, in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        columns = {name: {row[1] for row in database.execute(f"PRAGMA table_info({name})")}
                   for name in tables - {"jobs"}}
    assert tables == {*listed}
    for name, own in columns.items():
        assert own - listed[name] == {"candidates": parameters, "front": {
            "latency_ms", "energy_mj.nominal", "area_mm2.nominal"}}.get(name, set())


def test_every_key_and_figure_has_its_row(tmp_path: Path) -> None:
    """Of spaces, networks and figures; the second space of the page is read."""
    rows = {name for cell in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)}
    assert {*Space.model_fields, *NetworkSpace.model_fields, *FIGURES} - rows == set()
    assert all(f"`{name}`" in PAGE for name in Search.model_fields)
    (tmp_path / "space.yaml").write_text(next(text for text in SPACES if "losses.json" in text))
    assert len(load_space(tmp_path / "space.yaml")[0].networks[0].choices) == 5


@pytest.mark.nightly
def test_the_choice_of_an_accelerator_is_the_one_that_the_page_shows(tmp_path: Path) -> None:
    """Its commands run from a clean clone; every row of its table, and what it counts, are those of the run."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    page = (clone / "docs" / "explore.md").read_text()
    (text,) = re.findall(r"^```yaml\n(# choose\.yaml\n.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (block,) = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "choose.yaml").write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(clone), "OMP_NUM_THREADS": "1"}
    for line in block.splitlines():
        subprocess.run([sys.executable, "-m", *shlex.split(line)], cwd=tmp_path, env=environment, check=True)
    with closing(sqlite3.connect(tmp_path / "choose" / "results.sqlite")) as database:
        ((evaluated, within),) = database.execute("SELECT evaluated, within FROM runs")
        ((size,),) = database.execute("SELECT count(*) FROM front")
        assert f"{evaluated} candidates are evaluated, {within} keep both limits, and {size} are on the front" in page
        found = {number: (shape, *figures) for number, shape, *figures in database.execute(CHOICE)}
        assert database.execute("SELECT count(*), min(holds) FROM checks").fetchone() == (12, 1)
    rows = re.findall(r"^\| (\d+) \| (.*?) \|$", page.partition("| candidate | rows x")[2], re.MULTILINE)
    assert len(rows) == 4
    for number, cells in rows:
        shape, *figures = found[int(number)]
        assert cells.split(" | ") == [*shape.split("|"), *(f"{value:.4g}" for value in figures)]


CHOICE = """
SELECT candidate, rows || ' x ' || columns || ' x ' || lanes || '|' || act_regions || '|' || clock_mhz,
    max(CASE WHEN network = 'resnet18' AND figure = 'latency_ms' THEN nominal END),
    max(CASE WHEN network = 'mobilenet_v2' AND figure = 'latency_ms' THEN nominal END),
    max(CASE WHEN network = '' AND figure = 'energy_mj' THEN nominal END),
    max(CASE WHEN network = 'resnet18' AND figure = 'power_mw' THEN high END),
    max(CASE WHEN network = 'mobilenet_v2' AND figure = 'power_mw' THEN high END),
    max(CASE WHEN network = '' AND figure = 'area_mm2' THEN high END)
FROM front JOIN candidates USING (candidate) JOIN figures USING (candidate) GROUP BY candidate
"""
