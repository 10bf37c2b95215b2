"""The campaign: machines reach both ends, Programs reach far, it goes on where it stopped, failures are kept."""

from __future__ import annotations

import json
import shlex
from collections import defaultdict

import numpy as np
import pytest

from bitwright.campaign.batch import run_batch
from bitwright.campaign.campaign import RESULTS, SEED, Campaign, jobs_of, machine_of
from bitwright.campaign.command import main
from bitwright.cli.app import main as bitwright
from bitwright.farm.run import run
from bitwright.farm.store import Store
from bitwright.farm.workers import Here
from rtl.cosim.simulators import ICARUS, VERILATOR, SimulationError
from sim.arch.limits import LIMITS
from sim.ir.ops import Layer
from sim.testing.coverage.extremes import draw_pair, extents_of
from sim.testing.stimulus.machines import RANGES, campaign_machine, field_range

CAMPAIGN = Campaign()
SHARE = 52
"""A machine that is built at once."""


@pytest.fixture
def without_rtl(monkeypatch, simulated):
    """The simulator in place of the RTL, and every engine there; what was run is returned."""
    ran = []

    def run_all(jobs, engine=None):
        ran.extend(plan for plan, _ in jobs)
        return simulated(jobs)

    monkeypatch.setattr("bitwright.codesign.random_cases.run_all", run_all)
    for engine in (ICARUS, VERILATOR):
        monkeypatch.setattr(type(engine), "missing", lambda self: None)
    return ran


def test_machines_reach_both_ends_of_every_range():
    """The 60 machines of `make campaign`, ten of them wide and for Verilator, reach both ends of every range."""
    machines = [machine_of(CAMPAIGN, index) for index in range(60)]
    reached = defaultdict(list)
    for machine, _ in machines:
        for name in RANGES:
            reached[name].append(getattr(machine, name))
    assert {name: (min(values), max(values)) for name, values in reached.items()} == RANGES
    wide = [machine for machine, engine in machines if engine is VERILATOR]
    assert len(wide) == 10
    assert all(machine.lanes >= 64 for machine in wide)
    assert max(machine.rows for machine in wide) == 32
    assert {machine.bipolar for machine, _ in machines} == {False, True}
    assert all(RANGES[name] == field_range(name) for name in ("max_bits_w", "max_bits_a", "acc_bits", "terms"))
    narrowest = [machine for machine, _ in machines if machine.stream_bits * 32 == machine.lanes]
    assert narrowest, "no stream has a bit for 32 lanes"


def test_programs_reach_what_plain_ones_do_not():
    """14 Programs each of two machines have more than 64 row tiles, 32 blocks, 128 taps and 256 pixels, and wrap."""
    most: dict[str, int] = defaultdict(int)
    for index in (6, 52):
        machine, _ = machine_of(CAMPAIGN, index)
        for number in range(14):
            case, _, _ = draw_pair(np.random.default_rng((SEED, index, number)), machine, number, 12_000)
            for what, size in extents_of(case).items():
                most[what] = max(most[what], size)
    least = {"row tiles": 65, "channel blocks": 33, "taps": 129, "pixels in a row": 257,
             "parts under bipolar weights": LIMITS.max_parts, "wrapped sums": 1}
    assert {what: most[what] for what, size in least.items() if most[what] < size} == {}


def test_the_same_seed_draws_the_same_pairs():
    """Machines and Programs of a campaign can be drawn again, one by one."""
    machine, _ = machine_of(Campaign(seed=1), 2)
    assert machine == machine_of(Campaign(seed=1), 2)[0]
    one, other = (draw_pair(np.random.default_rng((1, 2, 3)), machine, 3, 9000) for _ in range(2))
    assert one[1] == other[1]


def test_small_machines_keep_to_their_size():
    """As many elements as asked for, at most."""
    for seed in range(50):
        machine = campaign_machine(np.random.default_rng(seed), 256)
        assert machine.rows * machine.columns * machine.lanes <= 256


def test_a_campaign_goes_on_where_it_stopped(without_rtl, tmp_path, capsys):
    """What stops at once loses nothing; the next run does the rest, a third one nothing; nothing is run twice."""
    arguments = ["--machines", "3", "--pairs", "8", "--jobs", "1", "--out", str(tmp_path), "--json"]
    assert main([*arguments, "--minutes", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["pairs"] == len(without_rtl) == 0
    with Store(tmp_path / RESULTS) as store:
        assert [one.failure for one in run([*jobs_of(Campaign(machines=3, pairs=8))][:2], store, Here())] == ["", ""]
    assert len(without_rtl) == 6
    assert main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["pairs"], report["machines"], report["failures"]) == (True, 8, 3, [])
    assert report["cycles"] > 0
    assert len(without_rtl) == 8
    assert main(arguments) == 0
    assert len(without_rtl) == 8
    again = json.loads(capsys.readouterr().out)
    assert again == report


def test_the_simulations_of_a_campaign_are_its_pairs():
    """Each pair is in one of them, and each machine in one before any is in two."""
    campaign = Campaign(machines=4, pairs=31)
    given = [job.parameters for job in jobs_of(campaign)]
    assert sorted((one["seed"][1], number) for one in given for number in range(one["first"], one["last"])) == [
        (index, number) for index in range(4) for number in range(8 if index < 3 else 7)]
    assert [one["seed"][1] for one in given] == [0, 1, 2, 3, 0, 1, 2, 3]
    assert len(given) == campaign.batches


def test_campaigns_of_few_layers_are_of_small_machines(without_rtl, tmp_path, capsys):
    """With --layers 1 every Program has one layer, and many run in one simulation of a machine of few elements."""
    assert main(["--machines", "2", "--programs", "24", "--layers", "1", "--jobs", "1", "--out", str(tmp_path),
                 "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["pairs"], report["machines"]) == (True, 24, 2)
    layers = [[op for op in plan.program.ops if isinstance(op, Layer)] for plan in without_rtl]
    assert {len({op.output for op in ops}) for ops in layers} == {1}
    assert {plan.machine.rows * plan.machine.columns * plan.machine.lanes <= 128 for plan in without_rtl} == {True}


def test_what_differs_is_kept_with_the_command_that_repeats_it(monkeypatch, simulated, tmp_path, capsys):
    """The exit is 1, the case is simple, its command reads it; the other pairs are run all the same."""

    def wrong(jobs, engine=None):
        if any(len(tensor.parts) > 1 for plan, _ in jobs for tensor in plan.program.tensors):
            raise SimulationError("stopped\nlog")
        return simulated(jobs)

    monkeypatch.setattr("bitwright.codesign.random_cases.run_all", wrong)
    assert main(["--machines", "1", "--pairs", "6", "--jobs", "1", "--out", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "6 of 6 pairs on 1 machines" in out
    assert "differs: stopped\n" in out
    assert out.endswith("NOT EQUAL\n")
    command = next(line for line in out.splitlines() if "again: " in line).partition("again: ")[2]
    words = shlex.split(command)
    assert words[0] == "bitwright"

    def stop(engine, plan, inputs, options, note):
        raise SimulationError("stopped")

    monkeypatch.setattr("bitwright.codesign.verify.run_on_rtl", stop)
    assert bitwright(words[1:]) == 1
    out = capsys.readouterr().out
    assert "torch = simulator: " in out
    assert out.endswith("the RTL did not end: stopped\nRTL simulated by icarus\nNOT EQUAL\n")


def test_a_damaged_file_is_refused(without_rtl, tmp_path, capsys):
    """What is no file of results ends in one sentence and exit status 1."""
    (tmp_path / RESULTS).write_bytes(b"no database, " * 100)
    assert main(["--pairs", "1", "--jobs", "1", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"campaign: cannot use '{tmp_path / RESULTS}' for results of jobs: file is not a database\n")


def test_a_simulation_that_cannot_be_made_ends_the_campaign(without_rtl, monkeypatch, tmp_path, capsys):
    """The sentence says why, the exit status is 1, and the next run tries again."""
    monkeypatch.setattr("bitwright.codesign.random_cases.run_all", lambda jobs, engine: 1 // 0)
    arguments = ["--machines", "1", "--pairs", "1", "--jobs", "1", "--out", str(tmp_path)]
    assert main(arguments) == 1
    assert capsys.readouterr().err.startswith("campaign: ZeroDivisionError: integer division or modulo by zero, in ")


@pytest.mark.parametrize("arguments", [
    ["--pairs", "0"], ["--machines", "0"], ["--jobs", "0"], ["--layers", "0"], ["--seed", "-1"]])
def test_impossible_campaigns_are_refused(arguments, capsys):
    """Exit 2, and what the limits are."""
    with pytest.raises(SystemExit, match=r"^2$"):
        main(arguments)
    assert "machines, pairs, layers and jobs must be at least 1, the seed at least 0" in capsys.readouterr().err


def test_a_simulation_on_the_rtl_is_exact():
    """The first Programs of a machine of 4 x 1 x 8 elements with 8-bit accumulators agree; sums of one wrap."""
    machine, engine = machine_of(CAMPAIGN, SHARE)
    found = run_batch(machine.model_dump(mode="json"), engine.name, (SEED, SHARE), 0, 4, 12_000, None)
    assert [pair["found"] for pair in found["pairs"]] == [()] * 4
    assert max(pair["extents"]["wrapped sums"] for pair in found["pairs"]) > 0
