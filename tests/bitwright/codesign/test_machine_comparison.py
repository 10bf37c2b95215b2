"""Machines side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bitwright.cli.app import main
from bitwright.codesign.machine_comparison import compare_machines
from bitwright.codesign.machine_files import is_machine
from sim.arch.machine import load_machine
from sim.cost.area import area
from sim.energy.technology import load_technology

EDGE, GENERIC = load_machine("edge"), load_technology("generic45")


def test_only_what_differs_is_told() -> None:
    """Parameters, those of the host's memory by their path, and areas with the bands of each; the total always."""
    other = EDGE.model_copy(update={"name": "b", "rows": 8, "requantizers": 2, "depthwise_lanes": 0,
                                    "memory": EDGE.memory.model_copy(update={"beats": 1, "period_cycles": 2})})
    found = compare_machines([EDGE, other], [GENERIC, GENERIC])
    assert found.parameters == {"rows": (16, 8), "requantizers": (4, 2), "depthwise_lanes": (32, 0),
                                "memory.period_cycles": (1, 2)}
    areas = {one.part: one.areas_mm2 for one in found.areas}
    assert areas["total"] == (area(EDGE, GENERIC).total_mm2, area(other, GENERIC).total_mm2)
    assert areas["elements"] == (area(EDGE, GENERIC).by_part["elements"], area(other, GENERIC).by_part["elements"])
    assert "activations" not in areas


def test_one_technology_makes_more_orders_certain() -> None:
    """A machine with one more region of activations is larger, whatever the numbers are, though the bands overlap; with
    numbers of two processes it does not follow."""
    larger = EDGE.model_copy(update={"name": "b", "act_regions": EDGE.act_regions + 1})
    one, two = area(EDGE, GENERIC).total_mm2, area(larger, GENERIC).total_mm2
    assert one.high > two.low
    assert compare_machines([EDGE, larger], [GENERIC, GENERIC]).areas[-1].open == (False, False)
    elsewhere = GENERIC.model_copy(update={"name": "another"})
    assert compare_machines([EDGE, larger], [GENERIC, elsewhere]).areas[-1].open == (False, True)


@given(st.sampled_from([4, 8, 16, 32]), st.sampled_from([2, 8, 24, 40]), st.sampled_from([1, 3, 7]))
def test_a_certain_order_holds_at_both_ends(rows: int, regions: int, columns: int) -> None:
    """If an order is certain, the machine that is larger by low numbers is larger by high ones too."""
    other = EDGE.model_copy(update={"rows": rows, "act_regions": regions, "columns": columns})
    one, two = area(EDGE, GENERIC).total_mm2, area(other, GENERIC).total_mm2
    if not compare_machines([EDGE, other], [GENERIC, GENERIC]).areas[-1].open[1]:
        assert (two.low - one.low) * (two.high - one.high) >= 0


def test_files_of_machines_are_known(tmp_path: Path) -> None:
    """By their keys, also with a slip among them; shapes, spaces and what is no YAML are none."""
    for name, text in {"m": yaml.safe_dump(EDGE.model_dump(mode="json")), "slip": "{rows: 4, lanes: 8, colums: 2}",
                       "shapes": "{name: n, inputs: {}, layers: []}", "space": "{networks: [], machine: {}}",
                       "bad": "{", "list": "[rows]"}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    names = ("m", "slip", "shapes", "space", "bad", "list", "no")
    found = {name: is_machine(tmp_path / f"{name}.yaml") for name in names}
    assert [name for name, machine in found.items() if machine] == ["m", "slip"]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Two estimates of a network on `tiny`, and one of it on `edge`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "n.yaml").write_text("{name: n, inputs: {x: {channels: 8, height: 6, width: 6, bits: 8}}, layers: "
                                     "[{name: first, channels: 8}, {name: fc, channels: 4}]}")
    for name, words in {"four": ["-b", "4"], "both": ["-b", "4", "-b", "2"]}.items():
        assert main(["estimate", "n.yaml", "-m", "tiny", "--json", *words]) == 0
        (tmp_path / f"{name}.json").write_text(capfd.readouterr().out)


@pytest.mark.usefixtures("files")
def test_written_estimates_compare_like_networks(capfd: pytest.CaptureFixture[str]) -> None:
    """The same differences, and as certain, as if the network had been estimated now; of one file several choices."""
    assert main(["compare", "n.yaml", "-m", "tiny", "-b", "4", "-b", "2", "--json"]) == 0
    now = json.loads(capfd.readouterr().out)
    assert main(["compare", "both.json", "four.json", "--json"]) == 0
    then = json.loads(capfd.readouterr().out)
    assert [one["name"] for one in then["candidates"]] == ["both 4/4", "both 2/2", "four"]
    assert [{**one, "other": ""} for one in then["figures"] if one["other"] == "both 2/2"] == [
        {**one, "other": ""} for one in now["figures"]]
    assert not any(one["open"] for one in then["figures"] if one["other"] == "four")


@pytest.mark.usefixtures("files")
def test_prices_of_another_version_are_not_taken_for_those_of_today(tmp_path: Path,
                                                                    capfd: pytest.CaptureFixture[str]) -> None:
    """An estimate whose energy today's prices do not make is compared by its bands alone."""
    data = json.loads((tmp_path / "both.json").read_text())
    for choice in data["choices"].values():
        choice["energy"]["nominal_pj"] *= 1.001
    (tmp_path / "old.json").write_text(json.dumps(data))
    assert main(["compare", "old.json", "--json"]) == 0
    energies = [one for one in json.loads(capfd.readouterr().out)["figures"] if one["figure"] == "energy_mj"]
    assert [one["open"] for one in energies] == [True]


@pytest.mark.usefixtures("files")
def test_runs_without_costs_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One sentence; and one item is nothing to compare."""
    (tmp_path / "summary.json").write_text('{"network": "n", "data": "d", "scheme": "float", "accuracy": {}}')
    assert main(["compare", ".", "four.json"]) == 1
    assert capfd.readouterr().err == ("bitwright: run '.' has no costs to compare; those of estimate, of demo and of a "
                                      "quantized network have\n")
    assert main(["compare", "edge"]) == 1
    assert "must make 2 to 50 candidates to compare, not 1" in capfd.readouterr().err


@pytest.mark.usefixtures("files")
def test_machines_are_compared_by_name_and_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What differs from the first, as text and as JSON."""
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(EDGE.model_dump(mode="json") | {"name": "m", "act_regions": 25}))
    assert main(["compare", "edge", "m.yaml", "--json"]) == 0
    data = json.loads(capfd.readouterr().out)
    assert data["parameters"] == {"act_regions": [24, 25]}
    assert [one["part"] for one in data["areas"]][-1] == "total"
    assert main(["compare", "edge", "m.yaml"]) == 0
    assert "act_regions" in capfd.readouterr().out
