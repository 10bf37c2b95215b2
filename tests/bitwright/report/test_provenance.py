"""Where results come from is said in all JSON, alike."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from bitwright.cli.app import app, main
from bitwright.cli.origin import WRITTEN
from sim.arch.machine import load_machine
from sim.energy.technology import load_technology

READ = {"weights", "bits_file", "program", "input_file", "network", "networks", "trace", "sensitivities", "liberty",
        "sram", "image", "first", "second", "model", "data", "scales", "run", "space", "items"}
"""Parameters that are files or folders which commands read."""
SHAPES = ("{name: n, inputs: {x: {channels: 8, height: 6, width: 6, bits: 8}}, layers: [{name: first, channels: 8}, "
          "{name: fc, channels: 4}]}")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "n.yaml").write_text(SHAPES)
    return tmp_path


def said(capfd: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main([*words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capfd.readouterr().out)["provenance"]
    return found


def test_an_estimate_says_where_it_comes_from(place: Path, capfd: pytest.CaptureFixture[str],
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """Command, time, machine, every source of its technology, and the hash of the file that was read."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    found = said(capfd, "estimate", "n.yaml", "-m", "tiny")
    assert found["command"] == "bitwright estimate n.yaml -m tiny --json"
    assert found["time"] == "1970-01-02T00:00:00+00:00"
    assert found["machines"] == [load_machine("tiny").model_dump(mode="json")]
    (technology,) = found["technologies"]
    priced = load_technology("generic45")
    assert {source["source"] for source in technology["sources"]} == {
        row.source for row in (*priced.prices.values(), *priced.areas.values(), *priced.leakages.values())}
    assert found["files"] == [{"path": "n.yaml", "bytes": len(SHAPES), "sha256": sha256(SHAPES.encode()).hexdigest()}]


def test_machines_and_technologies_of_ones_own_are_files(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A machine and a technology in files are named and hashed; of built-in ones the version tells all."""
    (place / "m.yaml").write_text(yaml.safe_dump(load_machine("tiny").model_dump(mode="json")))
    found = said(capfd, "compare", "n.yaml", "-m", "m.yaml", "-m", "edge")
    assert {file["path"] for file in found["files"]} == {"n.yaml", "m.yaml"}
    assert [machine["name"] for machine in found["machines"]] == ["tiny", "edge"]


def test_the_seed_is_said(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """That of random codes, as it was given; commands without one have none."""
    assert said(capfd, "area", "tiny")["seed"] is None
    found = said(capfd, "verify", "n.yaml", "-m", "tiny", "--seed", "7", "--layers", "fc", "--no-onnxruntime")
    assert found["seed"] == 7


def test_every_path_is_read_or_written() -> None:
    """A new parameter that is a path is in one of both lists, so that no result is hashed as if it had been read."""
    paths = {parameter.name for command in get_command(app).commands.values() for parameter in command.params
             if parameter.metavar in ("PATH", "FILE")}
    assert paths - WRITTEN - READ == set()
    assert WRITTEN & READ == set()


def test_a_misuse_is_json_too(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Status 2 with the sentence that stderr has, wherever on the line --json stands; without it, nothing on stdout."""
    wrong = ["n.yaml", "--digits", "99"]
    for words in (["estimate", *wrong, "--json"], ["estimate", "--json", *wrong]):
        assert main(words) == 2
        assert json.loads(capfd.readouterr().out) == {"error": {
            "message": "Invalid value for '--digits': must be an integer in 1..8, not '99'", "exit_status": 2}}
    assert main(["estimate", "n.yaml", "--bogus", "--json"]) == 2
    assert json.loads(capfd.readouterr().out)["error"]["message"].startswith("No such option: --bogus")
    assert main(["estimate", "n.yaml", "--digits", "99"]) == 2
    assert capfd.readouterr().out == ""
