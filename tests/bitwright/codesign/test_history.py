"""Histories as files."""

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

from bitwright.codesign.history import write_history
from quant.training.history import Epoch

HISTORIES = {"4+4": [Epoch(1, 2.5, 0.25, 0.5, 0.1, 7.5), Epoch(2, 2.0, 0.5, 0.625, 0.05, 7.0)],
             "2+2": [Epoch(1, 2.25, 0.375, None, 0.1, 7.25)]}


def test_a_history_is_written_in_three_forms(tmp_path: Path) -> None:
    """JSON and CSV hold every number; the figure is drawn, with the trainings by their names."""
    files = write_history(tmp_path, HISTORIES)
    assert [path.name for path in files] == ["history.json", "history.csv", "history.svg"]
    told = json.loads(files[0].read_text())
    assert {name: [Epoch(**record) for record in records] for name, records in told.items()} == HISTORIES
    with files[1].open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["training"] for row in rows] == ["4+4", "4+4", "2+2"]
    assert [row["validation_accuracy"] for row in rows] == ["0.5", "0.625", ""]
    assert [float(row["loss"]) for row in rows] == [2.5, 2.0, 2.25]
    figure = ElementTree.parse(files[2]).getroot()
    assert figure.tag.endswith("svg")
    comments = files[2].read_text()
    assert all(f"<!-- {name} -->" in comments for name in (*HISTORIES, "loss", "epoch", "validation"))
