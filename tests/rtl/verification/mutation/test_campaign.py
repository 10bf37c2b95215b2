"""The campaign and its report."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import rtl.verification.mutation.report
from rtl.cosim.simulators import VERILATOR
from rtl.encoding.geometry import Geometry
from rtl.verification.mutation import campaign
from rtl.verification.mutation.campaign import Campaign, Result, read_results
from rtl.verification.mutation.mutant_player import Outcome
from rtl.verification.mutation.netlist import FAMILIES, Mutant
from rtl.verification.mutation.report import report
from rtl.verification.mutation.survivors import Rule, read_rules, reason_of
from sim.arch.machine import load_machine
from sim.errors import EngineError, InputError

SOURCE = "module top;\nassign y = a + b;\nassign z = a & b;\n"


def mutant(family: str, line: int, mode: str = "inv") -> Mutant:
    """A mutant of the cell in a line of SOURCE."""
    return Mutant(family, f"mutate -mode {mode} -module top -cell $x{line} -port A -portbit 3"
                  f" -src design.sv:{line}.1-{line}.9")


def result(mutant: Mutant, script: str) -> Result:
    """Found by a script, or by none."""
    return Result(mutant.key, mutant.family, mutant.command, script, "data" if script else "", "")


class FakePlayer:
    """Finds every mutant by the second script; counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.sound = True
        self.missed: set[int] = set()
        self.texts: dict[str, str] = {}

    def play(self, number: int, scripts: list[Path]) -> Outcome:
        """As `rtl.verification.mutation.mutant_player.Player.play`."""
        self.asked.append(number)
        fails = number not in self.missed if number else not self.sound
        return Outcome(1, "data", 5) if fails else Outcome(None, "", 5)


@pytest.fixture
def player(monkeypatch: pytest.MonkeyPatch) -> FakePlayer:
    """A campaign over two mutants per family, without tools."""
    fake = FakePlayer()
    mutants = [mutant(family, line) for family in FAMILIES for line in (2, 3)]

    def write(machine: object, count: int, folder: Path) -> tuple[list[Path], list[Path]]:
        folder.mkdir(exist_ok=True)
        paths = [folder / name for name in ("program_1.txt", "program_2.txt", "fault.txt")]
        for path in paths:
            path.write_text(fake.texts.get(path.name, ""))
        return paths[:2], paths[2:]

    monkeypatch.setattr(campaign, "verilog_text", lambda *_: SOURCE)
    monkeypatch.setattr(campaign, "Top", lambda _: None)  # hardware that is never elaborated is a warning
    monkeypatch.setattr(campaign, "write_scripts", write)
    monkeypatch.setattr(campaign, "sample", lambda *_: mutants)
    monkeypatch.setattr(campaign, "mutated_text", lambda *_: "")
    monkeypatch.setattr(campaign, "build_player", lambda *_: fake)
    return fake


def new_campaign(folder: Path) -> Campaign:
    return Campaign(Geometry(load_machine("tiny")), folder, 2, 2, 1)


def test_an_interrupted_campaign_goes_on(player, tmp_path):
    """What is written down is not run again; a line per mutant, families in their order."""
    first = new_campaign(tmp_path).run(["pool"], lambda _: None)
    assert player.asked == [0, 1, 2]
    every = new_campaign(tmp_path).run([], lambda _: None)
    assert len(player.asked) == 3 * len(FAMILIES)
    assert [entry for entry in every if entry.family == "pool"] == first
    (lines,) = tmp_path.glob("*/results.jsonl")
    assert {Result(**json.loads(line)) for line in lines.read_text().splitlines()} == set(every)


@pytest.mark.parametrize(("changed", "again"), [("program_1.txt", 1), ("program_2.txt", 2), ("fault.txt", 0)])
def test_another_script_leaves_what_others_have_found(player, tmp_path, changed, again):
    """Run again are mutants that the changed script found, and those that survived all scripts of their family."""
    player.missed = {2}
    new_campaign(tmp_path).run(["pool"], lambda _: None)
    player.asked.clear()
    player.texts[changed] = "step 1"
    results = new_campaign(tmp_path).run(["pool"], lambda _: None)
    assert player.asked == list(range(again + 1 if again else 0))
    assert len(results) == 2
    assert read_results(next(tmp_path.glob("*/results.jsonl"))).keys() == {result.key for result in results}


def test_what_finds_most_comes_first(player, tmp_path):
    """The script that found the first mutant is the first one for the second."""
    every = new_campaign(tmp_path).run(["pool"], lambda _: None)
    assert [entry.script for entry in every] == ["program_2.txt", "program_1.txt"]


def test_hardware_that_fails_without_a_mutant_is_an_error(player, tmp_path):
    """Then nothing would be shown by mutants that fail."""
    player.sound = False
    with pytest.raises(EngineError, match=r"^without a mutant program_2\.txt fails: data$"):
        new_campaign(tmp_path).run(["pool"], lambda _: None)


def test_unknown_families_are_named(player, tmp_path):
    """The message lists those that there are."""
    with pytest.raises(InputError, match=re.escape("not pools")):
        new_campaign(tmp_path).run(["pools"], lambda _: None)


def test_a_report_counts_what_could_be_found(monkeypatch):
    """A survivor with a reason is not counted, one without lowers the share, and below 95 % the report is bad."""
    monkeypatch.setattr(rtl.verification.mutation.report, "unread", lambda *_: set())
    found = [result(mutant("pool", 2, f"m{number}"), "a.txt") for number in range(19)]
    text, good = report([*found, result(mutant("pool", 3), "")], SOURCE)
    assert "| pool | 20 | 19 | 0 | 1 | 95.0% |" in text
    assert "* `top` inv A[3] of `assign z = a & b;`: **no reason yet**" in text
    assert good
    _, good = report([*found[1:], result(mutant("pool", 3), "")], SOURCE)
    assert not good


def test_a_rule_speaks_of_module_line_mode_and_port():
    """Each of them must fit."""
    survivor, source = mutant("pool", 3), SOURCE.splitlines()
    assert reason_of(survivor, source, [Rule("t*", r"a & b", "dead", ("inv",), ("A:?",))]) == "dead"
    for rule in (Rule("x*", "a & b", "r"), Rule("t*", r"a \+ b", "r"), Rule("t*", "a & b", "r", ("const0",)),
                 Rule("t*", "a & b", "r", (), ("B:*",))):
        assert reason_of(survivor, source, [rule]) == ""


def test_every_reason_is_a_sentence():
    """The committed rules can be read, each with a pattern of a module of a family and a reason."""
    for rule in read_rules():
        assert rule.module.startswith("bitwright")
        assert re.compile(rule.line)
        assert len(rule.reason) > 20


def test_every_rule_speaks_of_a_line(accelerator):
    """No reason has lost its cells: in the modules of each rule there is a line that it means."""
    assert [rule for rule in read_rules() if not any(
        re.search(rule.line, line.strip()) for path, lines in accelerator.items() if fnmatchcase(path, rule.module)
        for line in lines)] == []


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.skipif(VERILATOR.missing() is not None, reason=str(VERILATOR.missing()))
def test_a_sample_of_every_family_is_found(tmp_path):
    """Ten mutants of each family: at least nine in ten of those without a reason to survive are found."""
    command = [sys.executable, "-m", "rtl.verification.mutation", "--count", "10", "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = re.findall(r"^\| \w+ \| (10) \| (\d+) \| (\d+) \|", done.stdout, re.M)
    assert len(rows) == len(FAMILIES), done.stderr
    mutants, found, excused = (sum(map(int, column)) for column in zip(*rows, strict=True))
    assert found >= 0.9 * (mutants - excused), done.stdout
