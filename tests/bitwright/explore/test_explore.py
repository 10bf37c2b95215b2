"""Explorations: right figures, every legal candidate once, the same result however often they are interrupted."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from bitwright.cli.app import main
from bitwright.codesign import costs
from bitwright.explore import evaluate as evaluation
from bitwright.explore.explore import BATCH, explore
from bitwright.farm.open_workers import open_workers
from bitwright.farm.workers import Here
from sim.arch.machine import Machine, load_machine
from sim.energy.technology import load_technology
from sim.errors import InputError
from sim.ir.shapes import ChosenBits, load_shapes

ROOT = Path(__file__).parents[3]


def by_hand():
    """Yield the parameters, the machine or None, and the bits of every point of the space in `conftest.py`."""
    base = load_machine("edge").model_dump()
    for rows, columns, lanes, latency in product((4, 8, 16, 12), (1, 3, 5), (16, 32), (0, 100)):
        own = {"rows": rows, "columns": columns, "lanes": lanes, "requantizers": rows // 4, "stream_bits": lanes,
               "depthwise_lanes": 0, "memory": base["memory"] | {"latency_cycles": latency}}
        for bits in ((2, 3), (4, 4)):
            try:
                yield own, Machine.model_validate(base | own) if rows * lanes <= 256 else None, bits
            except ValidationError:
                yield own, None, bits


def test_an_exhaustive_search_is_an_estimate_of_every_legal_machine(space, tmp_path):
    """Figures, limits, what is dropped and the front are those of a loop by hand."""
    found = explore(space, tmp_path / "out", Here())
    shapes, wanted = load_shapes("resnet8"), {}
    points = [*by_hand()]
    for number, (_, machine, (weights, activations)) in enumerate(points):
        if machine is not None:
            bits = ChosenBits(weights=weights, activations=activations, digits=machine.terms)
            cost = costs.estimate(shapes.program(bits, machine.arithmetic), machine)
            if cost.power_mw.high <= 100 and cost.area.total_mm2.nominal <= 5:
                wanted[number] = cost.latency_ms, cost.energy_mj.nominal, cost.area.total_mm2.high
    best = {number for number, one in wanted.items()
            if not any(other != one and all(a <= b for a, b in zip(other, one, strict=True))
                       for other in wanted.values())}
    assert (found.points, found.evaluated) == (96, sum(machine is not None for _, machine, _ in points))
    assert found.within == len(wanted) > len(best) > 1
    assert {one.candidate.number: one.objectives(found.space.wanted) for one in found.front} == {
        number: wanted[number] for number in best}
    assert {one.rule: one.machines for one in found.dropped} == {
        "constraint rows * lanes <= 256": 12, "rows must be a power of two, not N": 6}


def test_the_tables_hold_everything(space, tmp_path, tables):
    """Candidates with their parameters, choices, figures of the network and of all, what was dropped, the front."""
    found = explore(space, tmp_path / "out", Here())
    held = tables(tmp_path / "out" / "results.sqlite")
    assert {name: len(rows) for name, rows in held.items()} == {
        "runs": 1, "candidates": found.evaluated, "choices": found.evaluated, "dropped": 2,
        "figures": found.evaluated * 15, "front": len(found.front), "finalists": len(found.finalists),
        "simulated": len(found.finalists) * 7, "checks": len(found.finalists) * 2}
    with closing(sqlite3.connect(tmp_path / "out" / "results.sqlite")) as database:
        database.row_factory = sqlite3.Row
        run = dict(database.execute("SELECT * FROM runs").fetchone())
        one = found.front[0]
        row = dict(database.execute("SELECT * FROM candidates WHERE candidate = ?",
                                    (one.candidate.number,)).fetchone())
    assert run["finished"] == 1
    assert run["within"] == found.within
    assert run["dropped"] == 18
    assert json.loads(run["limits"]) == {"power_mw.high": 100.0, "area_mm2.nominal": 5.0}
    assert (row["status"], row["reason"]) == ("within", "")
    assert {name: row[name] for name in one.candidate.parameters} == one.candidate.parameters
    assert one.candidate.parameters.keys() == {"rows", "columns", "lanes", "requantizers", "depthwise_lanes",
                                               "stream_bits", "memory.latency_cycles"}
    (network, choice, bits), = [rest for number, *rest in held["choices"] if number == one.candidate.number]
    assert (network, choice, bits) == ("resnet8", ("2/3", "4/4")[one.candidate.point.choices[0]], None)


def test_a_random_search_is_a_part_of_the_exhaustive_one(space, tmp_path, tables):
    """Without repetition, the same for the same seed and another for another; a longer one begins with a shorter."""
    everything = explore(space, tmp_path / "all", Here())
    with closing(sqlite3.connect(tmp_path / "all" / "results.sqlite")) as database:
        legal = {number for number, in database.execute("SELECT candidate FROM candidates")}
    text, orders = space.read_text(), {}
    for seed, count in ((1, 12), (2, 12), (1, 30), (1, 1000)):
        space.write_text(f"{text}search: {{method: random, candidates: {count}, seed: {seed}}}\n")
        found = explore(space, tmp_path / f"{seed} {count}", Here())
        rows = tables(tmp_path / f"{seed} {count}" / "results.sqlite")["candidates"]
        orders[seed, count] = [number for number, *_ in sorted(rows, key=lambda row: row[1])]
        assert found.evaluated == len({*orders[seed, count]}) == min(count, everything.evaluated)
    assert orders[1, 30][:12] == orders[1, 12] != orders[2, 12]
    assert {*orders[1, 1000]} == legal
    assert {*orders[1, 30]} < legal


def test_two_processes_find_what_one_finds(space, tmp_path, tables):
    """All tables are equal."""
    found = []
    for jobs in (1, 2):
        with open_workers(jobs) as workers:
            explore(space, tmp_path / str(jobs), workers)
        found.append(tables(tmp_path / str(jobs) / "results.sqlite"))
    assert found[0] == found[1]


KILLED = """
import os, signal, sys
from bitwright.cli.app import main
from bitwright.explore.tables import Tables
add, left = Tables.add, [2]
def killed(self, results):
    add(self, results)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
Tables.add = killed
main(sys.argv[1:])
"""


def test_a_run_that_is_killed_goes_on(space, tmp_path, tables, monkeypatch):
    """What was evaluated is not evaluated again, and the tables are those of a run that nobody killed."""
    whole = explore(space, tmp_path / "whole", Here())
    out = tmp_path / "killed"
    killed = subprocess.run([sys.executable, "-c", KILLED, "explore", str(space), "-o", str(out)], cwd=ROOT,
                            capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert len(tables(out / "results.sqlite")["candidates"]) == 2 * BATCH
    evaluate, batches = evaluation.evaluate, []
    monkeypatch.setattr(evaluation, "evaluate", lambda **given: batches.append(given) or evaluate(**given))
    found = explore(space, out, Here())
    assert len(batches) == -(-whole.evaluated // BATCH) - 2
    assert tables(out / "results.sqlite") == tables(tmp_path / "whole" / "results.sqlite")
    assert [one.figures for one in found.front] == [one.figures for one in whole.front]


def test_other_limits_evaluate_nothing_again(space, tmp_path, tables, monkeypatch):
    """The tables are made anew from what is known."""
    explore(space, tmp_path, Here())
    monkeypatch.setattr(evaluation, "evaluate", None)
    space.write_text(space.read_text().replace("power_mw: 100", "latency_ms: 0.4").replace("[latency_ms, ", "["))
    found = explore(space, tmp_path, Here())
    assert all(one.figures["latency_ms"][1] <= 0.4 for one in found.front)
    assert found.within
    assert len(tables(tmp_path / "results.sqlite")["front"][0]) == 3


def test_every_network_keeps_the_limits(space, tmp_path):
    """Times and energies add up; a limit is for each of them; the reason names which breaks it."""
    text = space.read_text().replace("networks:", "networks:\n- {network: resnet8, name: wide, bits: [8]}")
    space.write_text(text)
    found = explore(space, tmp_path / "out", Here())
    for one in found.front:
        small, wide = one.networks["resnet8"].figures, one.networks["wide"].figures
        assert one.figures["latency_ms"][1] == pytest.approx(small["latency_ms"][1] + wide["latency_ms"][1], rel=1e-15)
        energy = one.figures["energy_mj"]
        assert one.figures["edp_mj_ms"] == [end * one.figures["latency_ms"][1] for end in energy]
        assert max(small["power_mw"][2], wide["power_mw"][2]) == one.figures["power_mw"][2] <= 100
    with closing(sqlite3.connect(tmp_path / "out" / "results.sqlite")) as database:
        reasons = {text.split(" is ")[0] for text, in database.execute(
            "SELECT reason FROM candidates WHERE status = 'beyond'")}
    assert {"power_mw.high of wide", "area_mm2.nominal"} <= reasons <= {"power_mw.high of wide", "area_mm2.nominal",
                                                                         "power_mw.high of resnet8"}


def test_where_nothing_keeps_the_limits_the_nearest_is_told(space, tmp_path, capfd):
    """It is the candidate whose worst limit is exceeded by the least share."""
    space.write_text(space.read_text().replace("power_mw: 100, area_mm2.nominal: 5", "fps: 2e4, power_mw: 1"))
    assert main(["explore", str(space), "-o", str(tmp_path)]) == 0
    *_, line, _ = capfd.readouterr().out.splitlines()
    with closing(sqlite3.connect(tmp_path / "results.sqlite")) as database:
        figures = database.execute("SELECT f.candidate, f.low, p.high FROM figures f JOIN figures p USING (candidate) "
                                   "WHERE f.figure = 'fps' AND p.figure = 'power_mw' AND f.network = p.network "
                                   "AND f.network != ''").fetchall()
    nearest = min(figures, key=lambda row: max(2e4 / row[1], row[2]))[0]
    assert line.startswith(f"none keeps the limits; the nearest is candidate {nearest}, where ")


def test_machines_that_cannot_run_a_network_are_refused(space, tmp_path):
    """They are counted by why, and the others are explored."""
    space.write_text(space.read_text().replace("  rows:", "  weight_words: [8, 1152]\n  rows:"))
    found = explore(space, tmp_path / "out", Here())
    (reason, count), = found.refused
    assert re.fullmatch(r"network 'resnet8': op 'layer1.0.conv1' needs 18 weight words per row for a row tile; machine "
                        r"'edge-0' has weight_words 8 \(10 too few\)", reason)
    assert count * 2 == found.evaluated


@pytest.mark.parametrize(("change", "says"), [
    ({"network: resnet8": "network: resnet7"}, (r"no network 'resnet7': give one of alexnet, .*, or a file, \*\.yaml, "
     r"\*\.onnx or \*\.pt2")),
    ({"network: resnet8": "network: none.yaml"}, r"no shapes '.*none\.yaml': give one of .* or a YAML file"),
    ({"base: edge": "base: edgy"}, r"no machine '.*edgy': give one of edge, large, tiny or a YAML file"),
    ({"network: resnet8": "network: resnet8, sensitivities: none.json"}, r"no sensitivities '.*none\.json'"),
    ({"rows * lanes <= 256": "rows > 99"},
     r"none of the 96 points has a legal machine: 48 are dropped by 'constraint rows > 99'"),
    ({"limits": "technology: bare.yaml\nlimits"},
     r"technology 'generic45' has no areas, so that area_mm2 can be neither limit nor objective")])
def test_what_cannot_be_explored_is_refused(space, tmp_path, capfd, change, says):
    """In one sentence, with status 1."""
    text = space.read_text()
    for old, new in change.items():
        text = text.replace(old, new)
    space.write_text(text)
    bare = load_technology("generic45").model_dump(mode="json", exclude_defaults=True, exclude={"ART"})
    (tmp_path / "bare.yaml").write_text(yaml.safe_dump(bare))
    assert main(["explore", str(space), "-o", str(tmp_path / "out")]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert re.fullmatch(f"bitwright: {says}", line)


def test_the_command_prints_the_front(space, tmp_path, capfd):
    """As a table, as JSON and as CSV: the same rows."""
    out, csv = str(tmp_path / "out"), tmp_path / "front.csv"
    assert main(["explore", str(space), "-o", out, "--csv", str(csv), "--json"]) == 0
    data = json.loads(capfd.readouterr().out)
    columns, *rows = [line.split(",") for line in csv.read_text().splitlines()]
    assert [dict(zip(columns, row, strict=True)) for row in rows] == [
        {name: str(value) for name, value in row.items()} for row in data["front"]]
    assert columns == ["candidate", "rows", "columns", "lanes", "memory.latency_cycles", "requantizers", "stream_bits",
                       "bits", "latency_ms", "energy_mj.nominal", "area_mm2.high", "worst power_mw.high",
                       "worst area_mm2.nominal"]
    assert main(["explore", str(space), "-o", out]) == 0
    printed = capfd.readouterr().out
    assert all(f" {row['candidate']} " in printed for row in data["front"])
    assert "96 points; 18 machines dropped; 60 candidates evaluated" in printed
    assert {*os.listdir(out)} == {"results.sqlite", *(f"candidate-{one['candidate']}" for one in data["finalists"])}


def test_a_file_of_others_is_refused(space, tmp_path):
    """Nothing is written into it."""
    (tmp_path / "results.sqlite").write_text("notes")
    with pytest.raises(InputError, match=r"^cannot use '.*results\.sqlite' for results of jobs: "):
        explore(space, tmp_path, Here())
    assert (tmp_path / "results.sqlite").read_text() == "notes"
