"""Random verification finds what differs, makes it simple and keeps it; what is equal counts as covered."""

import json

import pytest

from bitwright.cli.app import main
from bitwright.cli.console import steps
from bitwright.codesign.verify_random import verify_random
from bitwright.farm.workers import Here
from rtl.cosim.simulators import ICARUS, SimulationError
from sim.arch.machine import load_machine
from sim.ir.ops import Conv
from sim.testing.stimulus.cases import load_case


@pytest.fixture
def wrong_for_bipolar(simulated):
    """As `simulated`, but machines stop at bipolar weights."""

    def run_all(jobs, engine=None):
        if any(conv.weight_format.kind == "bipolar" for plan, _ in jobs for conv in plan.program.convs):
            raise SimulationError("stopped\nlog")
        return simulated(jobs)

    return run_all


def test_what_is_equal_is_counted(monkeypatch, tmp_path, simulated):
    """All Programs are run and counted, with their ops and bins; nothing is kept."""
    monkeypatch.setattr("bitwright.codesign.random_cases.run_all", simulated)
    with steps("verify", 2) as progress:
        result = verify_random(load_machine("tiny"), 10, 1, ICARUS, tmp_path / "kept", progress)
    assert (result.programs, result.failure, result.kept) == (10, (), None)
    assert result.ops >= 10
    assert result.coverage.covered > 200
    assert not (tmp_path / "kept").exists()


def test_what_fails_is_made_simple_and_kept(monkeypatch, tmp_path, capsys, wrong_for_bipolar):
    """The case that is kept has a single layer with a single weight, the kind that fails."""
    monkeypatch.setattr("bitwright.codesign.random_cases.run_all", wrong_for_bipolar)
    with steps("verify", 2) as progress:
        result = verify_random(load_machine("tiny"), 40, 1, ICARUS, tmp_path, progress)
    assert result.failure == ("stopped",)
    case = load_case(result.kept)
    (layer,) = [op for op in case.plan.program.ops if isinstance(op, Conv)]
    assert (layer.weight_format.kind, layer.weights.size) == ("bipolar", 1)
    assert case.notes == {"found": ["stopped"]}
    assert "a case differs and is made simple: 1 of at most 150 runs, 0.0 s each" in capsys.readouterr().err


@pytest.mark.nightly
def test_the_result_does_not_depend_on_who_runs_them(monkeypatch, tmp_path, simulated):
    """The same Programs run on any number of workers, in the same order, drawn again from their decisions."""
    monkeypatch.setattr("bitwright.codesign.random_cases.run_all", simulated)

    class Backwards(Here):
        """Workers that do three jobs at a time, the last one first."""

        slots = 3

        def wait(self, seconds):
            return super().wait(seconds)[::-1]

    found = []
    for workers in (Here(), Backwards()):
        with steps("verify", 2) as progress:
            found.append(verify_random(load_machine("tiny"), 18, 1, ICARUS, tmp_path, progress, workers))
    assert found[0].coverage.counts == found[1].coverage.counts
    assert [(one.programs, one.ops, one.cycles) for one in found] == [(18, found[0].ops, found[0].cycles)] * 2


@pytest.mark.parametrize("arguments", [[], ["program.safetensors", "--random-programs", "3"]])
def test_a_program_or_random_ones(capsys, arguments):
    """Neither and both are misuse."""
    assert main(["verify", *arguments]) == 2
    assert "give a Program or --random-programs, one of them" in capsys.readouterr().err


def test_a_program_is_not_for_a_scheduler(capsys):
    """Workers share random Programs, not the images of one."""
    assert main(["verify", "program.safetensors", "--scheduler", "local"]) == 2
    assert "--scheduler goes with --random-programs, not with a Program" in capsys.readouterr().err


def test_the_command_reports_coverage(monkeypatch, capsys, tmp_path, simulated):
    """JSON holds the table of groups and the bins that are missing."""
    monkeypatch.setattr("bitwright.codesign.random_cases.run_all", simulated)
    assert main(["verify", "--random-programs", "2", "--failures-dir", str(tmp_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["programs"] == 2
    assert sum(row["met"] for row in report["coverage"]) + len(report["missing"]) == sum(
        row["bins"] for row in report["coverage"])
