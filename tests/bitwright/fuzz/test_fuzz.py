"""The fuzzer finds each kind of fault, goes on where it stopped, and finds none in a few inputs of every loader."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from bitwright.fuzz.__main__ import main
from bitwright.fuzz.campaign import Outcome, Stand, fuzz
from bitwright.fuzz.planted import FAULTS
from bitwright.fuzz.worker import TARGETS, Finding, Limits, examine, input_of, target_named

LIMITS = Limits(seconds=0.5, waiting_seconds=4.0)
WITHOUT_KERNELS = [name for name in TARGETS if name != "run"]


def silent(outcome: Outcome) -> None:
    """Says nothing."""


def test_every_planted_fault_is_found_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exceptions, memory, time, messages, death and waiting: each has its signature, its input, and a command."""
    outcome = fuzz("planted", 1, tmp_path, 2, 24, None, silent, LIMITS)
    assert outcome.inputs == 24
    target = target_named("planted")
    target.prepare(tmp_path)
    inputs = [input_of(target, 1, index) for index in range(24)]
    assert set(inputs) == {b"taken", b"refused", *FAULTS}
    assert outcome.accepted == inputs.count(b"taken")
    for data, start in FAULTS.items():
        (found,) = [signature for signature in outcome.signatures if signature.startswith(start)]
        assert outcome.signatures[found] == inputs.count(data)
    kept = tmp_path / "planted" / f"1-{inputs.index(b'raises')}"
    assert kept.read_bytes() == b"raises"
    text = kept.with_suffix(".txt").read_text()
    assert text.startswith(f"python -m bitwright.fuzz --loader planted --again {kept}\n")
    assert "ZeroDivisionError" in text
    assert main(["--loader", "planted", "--again", str(kept)]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """What is read is not read again; another seed starts anew."""
    assert fuzz("image", 3, tmp_path, 1, 5, None, silent).inputs == 5
    assert Stand(tmp_path, 3).of("image") == 5
    assert fuzz("image", 3, tmp_path, 1, 8, None, silent).inputs == 3
    assert fuzz("image", 3, tmp_path, 1, 8, None, silent).inputs == 0
    assert Stand(tmp_path, 4).of("image") == 0


@pytest.mark.parametrize("damaged", ["", "[]", '{"0": 1}', '{"0": {"image": "x"}}', "\xff"])
def test_a_damaged_stand_is_refused(damaged: str, tmp_path: Path) -> None:
    """A file that no run wrote ends in one sentence."""
    (tmp_path / "stand.json").write_bytes(damaged.encode("latin-1"))
    message = f"{tmp_path / 'stand.json'} does not hold what was read before; remove it, or use another folder"
    with pytest.raises(SystemExit, match=f"^fuzz: {message}$"):
        main(["--loader", "image", "--inputs", "1", "--out", str(tmp_path)])


def test_findings_are_the_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """1 with a finding, which the table names; 0 without."""
    seed = next(seed for seed in range(100) if [
        random.Random(f"{seed} planted {index}").randrange(8) for index in range(2)] == [0, 2])
    arguments = ["--loader", "planted", "--seed", str(seed), "--out", str(tmp_path), "--jobs", "1", "--inputs"]
    assert main([*arguments, "1"]) == 0
    assert "every input was taken or refused in one sentence, within its budget" in capsys.readouterr().out
    assert main([*arguments, "2"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"planted: 1 times ZeroDivisionError", out)


@pytest.mark.filterwarnings("ignore")  # of libraries: a warning is no refusal
@pytest.mark.parametrize("name", WITHOUT_KERNELS)
def test_a_few_inputs_of_every_loader(name: str, tmp_path: Path) -> None:
    """Each is taken, or refused in one printable sentence; inputs are the same each time, and some of both kinds."""
    target = target_named(name)
    target.prepare(tmp_path)
    found = [examine(target, input_of(target, 0, index), tmp_path / "input", index, Limits()) for index in range(40)]
    assert not [finding.text for finding in found if isinstance(finding, Finding)]
    assert {None, True} == set(found)
    assert [input_of(target, 0, index) for index in range(9)] == [input_of(target, 0, index) for index in range(9)]
