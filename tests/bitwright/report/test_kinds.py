"""Reports of the other kinds of runs: networks, comparisons, explorations, verifications, the demo."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bitwright.cli.app import main

Run = Callable[..., dict[str, Any]]
SHAPES = ("{name: n, inputs: {x: {channels: 8, height: 6, width: 6, bits: 8}}, layers: [{name: first, channels: 8}, "
          "{name: fc, channels: 4}]}")
SPACE = """networks: [{network: n.yaml, bits: [2/2, 4/4]}]
machine: {base: tiny, rows: [2, 4, 16], columns: [1, 3], requantizers: 1}
limits: {latency_cycles: 2000}
objectives: [latency_ms, energy_mj, area_mm2.high]
"""


@pytest.fixture
def command(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in a folder with a file of shapes; its JSON."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "n.yaml").write_text(SHAPES)

    def run(*words: object) -> dict[str, Any]:
        main([*map(str, words), "--json"])
        found: dict[str, Any] = json.loads(capfd.readouterr().out)
        return found
    return run


@pytest.fixture
def blocks(command: Run, tmp_path: Path) -> Callable[[str], dict[str, dict[str, Any]]]:
    """The tables and figures of a run's report, by their titles."""
    def of(run: str) -> dict[str, dict[str, Any]]:
        told = command("report", run, "-o", "r.json")
        assert "error" not in told, told
        assert command("report", run)["sections"] == told["sections"]
        page = json.loads((tmp_path / "r.json").read_text())
        return {block["title"]: block for section in page["sections"] for block in section["blocks"]}
    return of


def test_a_comparison_says_what_is_open(command: Run, blocks: Callable[..., Any], tmp_path: Path) -> None:
    """Every difference of the JSON has its row, with its band and whether the order is certain."""
    data = command("compare", "n.yaml", "-b", "4", "-b", "2", "-m", "tiny", "-m", "edge")
    (tmp_path / "run.json").write_text(json.dumps(data))
    found = blocks("run.json")
    assert [[row[0], row[2], row[3], row[4], row[5]] for row in found["differences"]["rows"]] == [
        [one["other"], one["first_value"], one["other_value"], one["ratio"], "open" if one["open"] else "certain"]
        for one in data["figures"]]
    assert [row[0] for row in found["energy and latency: numbers"]["rows"]] == [
        one["name"] for one in data["candidates"]]


def test_machines_are_shown_side_by_side(command: Run, blocks: Callable[..., Any], tmp_path: Path) -> None:
    """Parameters, and areas with their bands in the table as in the JSON."""
    data = command("compare", "tiny", "edge")
    (tmp_path / "run.json").write_text(json.dumps(data))
    found = blocks("run.json")
    assert [row[0] for row in found["parameters"]["rows"]] == list(data["parameters"])
    assert [row[1:3] for row in found["areas"]["rows"]] == [one["areas_mm2"] for one in data["areas"]]


def test_an_exploration_shows_its_front(command: Run, blocks: Callable[..., Any], tmp_path: Path) -> None:
    """The front is that of the command's JSON, in numbers and points; each candidate is drawn; nothing is left out
    without a reason."""
    (tmp_path / "space.yaml").write_text(SPACE)
    data = command("explore", "space.yaml", "-o", "ex")
    found = blocks("ex")
    front = found["candidates on the front"]
    assert {row[0] for row in front["rows"]} == {row["candidate"] for row in data["front"]}
    rows = {row["candidate"]: row for row in data["front"]}
    for row in front["rows"]:
        told = dict(zip(front["columns"], row, strict=True))
        assert told["latency [ms]"] == rows[row[0]]["latency_ms"]
        assert told["energy [mJ]"]["nominal"] == rows[row[0]]["energy_mj.nominal"]
        assert told["area [mm2]"]["high"] == rows[row[0]]["area_mm2.high"]
    points = found["energy [mJ] over latency [ms]: numbers"]["rows"]
    kinds = [row[1] for row in points]
    assert kinds.count("on the front") == len(front["rows"])
    assert len(points) == data["evaluated"] - sum(one["candidates"] for one in data["refused"])
    dropped = found["combinations that are no machines"]["rows"]
    assert [row[0] for row in dropped] == [one["machines"] for one in data["dropped"]]
    assert [row[1] for row in found["space file"]["rows"]] == SPACE.splitlines()
    assert "area [mm2], high end over latency [ms]: numbers" in found


@pytest.mark.parametrize(("script", "sentence"), [
    ("CREATE TABLE a (b)", "it is no file of results of explore: no such table: runs"),
    ("CREATE TABLE runs (a)",
     "its tables are not as explore writes them: not enough values to unpack (expected 1, got 0)"),
    ("CREATE VIEW runs AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT * FROM c WHERE x < 0",
     "it is no file of results of explore: interrupted")])
def test_a_file_that_is_no_exploration_is_refused(command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                  script: str, sentence: str) -> None:
    """One sentence, also of a file whose query would never end."""
    monkeypatch.setattr("bitwright.report.read_exploration.MOST_STEPS", 3)
    database = sqlite3.connect(tmp_path / "results.sqlite")
    database.executescript(script)
    database.close()
    assert command("report", "results.sqlite")["error"]["message"] == f"run 'results.sqlite': {sentence}"
    (tmp_path / "results.sqlite").write_text("no database at all, but long enough to be looked at" * 100)
    assert command("report", ".")["error"]["message"] == (
        "run 'results.sqlite': it is no file of results of explore: file is not a database")


def test_a_quantized_network_shows_what_each_layer_loses(command: Run, blocks: Callable[..., Any],
                                                         tmp_path: Path) -> None:
    """Accuracies in percent, the ratios of each layer, and epochs, as the summary has them."""
    summary = {"network": "net.py:Net", "data": "photos", "scheme": "lsq", "bits": ["4/4", "2/2"],
               "accuracy": {"test": 0.875},
               "layers": [{"name": "c", "kind": "conv", "weight_bits": 2, "tensor_bits": 4, "output_sqnr_db": 12.5},
                          {"name": "fc", "kind": "linear", "weight_bits": 8, "clipped_share": 0.25}],
               "history": {"4/4": [{"epoch": 1, "loss": 2.0, "train_accuracy": 0.5, "validation_accuracy": None}],
                           "2/2": [{"epoch": 1, "loss": 1.0, "train_accuracy": 0.5, "validation_accuracy": 0.25}]}}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "summary.json").write_text(json.dumps(summary))
    found = blocks("out")
    assert found["accuracy: numbers"]["rows"] == [["test", 87.5]]
    assert found["layers"]["rows"] == [["c", "conv", 2, 4, None, None, 12.5, None, None, None],
                                       ["fc", "linear", 8, None, None, None, None, 25.0, None, None]]
    assert found["loss: numbers"]["rows"] == [["4/4, epoch 1", "loss", 1.0, 2.0], ["2/2, epoch 1", "loss", 2.0, 1.0]]
    assert ["2/2, epoch 1", "validation", 2.0, 25.0] in found["accuracy in training: numbers"]["rows"]


CHECK = {"simulator": "icarus", "failure": None, "skipped": None, "predicted": {"cycles": 9},
         "counted": [{"cycles": 9}], "layers": [{"name": "a", "predicted": 9, "counted": 9}],
         "comparisons": [{"engines": ["torch", "simulator"], "tensors": 1, "codes": 8, "mismatches": 0,
                          "by_tensor": [{"name": "x", "codes": 8, "mismatches": 0, "undefined": 0}]}]}


@pytest.mark.parametrize(("change", "verdict"), [
    ({}, "equal"), ({"counted": [{"cycles": 8}]}, "NOT EQUAL"), ({"failure": "it hangs"}, "NOT EQUAL"),
    ({"layers": [{"name": "a", "predicted": 9, "counted": 8}]}, "NOT EQUAL"),
    ({"comparisons": [{**CHECK["comparisons"][0], "mismatches": 1}]}, "NOT EQUAL")])
def test_a_verification_has_a_verdict(command: Run, tmp_path: Path, change: dict[str, Any], verdict: str) -> None:
    """Equal only if all codes, cycles and counters are."""
    (tmp_path / "run.json").write_text(json.dumps({**CHECK, **change}))
    command("report", "run.json", "-o", "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["highlights"]["verdict"] == verdict


def test_layers_on_the_rtl_have_their_rows(command: Run, blocks: Callable[..., Any], tmp_path: Path) -> None:
    """Each with its place, codes and cycles as `verify --layers` tells them."""
    data = command("verify", "n.yaml", "-m", "tiny", "-b", "4", "--layers", "fc", "--no-onnxruntime")
    (tmp_path / "run.json").write_text(json.dumps(data))
    found = blocks("run.json")
    assert found["layers on the RTL"]["rows"] == [
        [piece["op"], "{}..{}".format(*piece["rows"]), "{}..{}".format(*piece["channels"]), piece["codes"],
         piece["cycles"], ""] for piece in data["pieces"]]
    assert data["ok"]
    command("report", "run.json", "-o", "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["highlights"]["verdict"] == "equal"


def test_a_divergence_is_told_field_by_field(command: Run, blocks: Callable[..., Any], tmp_path: Path) -> None:
    """Whatever was found out has its place, however deep it lies; what is None has none."""
    wrong = {"findings": {"op": "conv1", "codes": [1, 2], "more": [{"x": 1}, {"x": None}]}, "folder": None}
    (tmp_path / "run.json").write_text(json.dumps({**CHECK, "divergence": wrong}))
    assert blocks("run.json")["what is wrong"]["rows"] == [
        ["findings.op", "conv1"], ["findings.codes", "1, 2"], ["findings.more.0.x", "1"]]


def test_the_demo_shows_networks_budgets_and_agreement(command: Run, blocks: Callable[..., Any],
                                                       tmp_path: Path) -> None:
    """Figures of a summary: accuracy, cycles and mismatches of each network; a budget holds or not."""
    estimate = command("estimate", "n.yaml", "-m", "tiny")
    summary = {"ok": True, "machine": "tiny", "seed": 3, "accuracy": {"float": 0.9, "mixed": 0.8}, "reallocations": 2,
               "budgets": {"latency_cycles": {"limit": 10, "used": 9}, "energy_pj": {"limit": 10, "used": 11}},
               "bits": {"load x": [0, 8], "a": [3, 4]}, "programs": {"mixed": estimate},
               "verifications": {"mixed": CHECK}}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    found = blocks(".")
    (row,) = found["networks, one image"]["rows"]
    assert [row[0], row[1], row[4], row[5], row[6]] == ["mixed", 80.0, 9, 9, 0]
    assert [row[-1] for row in found["budgets"]["rows"]] == ["yes", "no"]
    assert found["bits per layer, mixed: numbers"]["rows"] == [["a", 3.0, 4.0]]
