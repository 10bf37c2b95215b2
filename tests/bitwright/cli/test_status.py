"""The exit status and the standard streams: what is lost is an error, and every failure is one sentence."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bitwright.cli.app import main
from sim.arch.machine import load_machine
from sim.errors import EngineError, InputError
from sim.ir.serialize import save_program
from sim.testing import random_program


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("status") / "p.safetensors"
    save_program(random_program(np.random.default_rng(11), load_machine("tiny"), layers=2), place)
    return place


@pytest.fixture(params=["held back", "unbuffered"])
def streams(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python holds back what it prints, unless it is told not to: then it fails at another moment."""
    monkeypatch.setenv("PYTHONUNBUFFERED", "" if request.param == "held back" else "1")


def shell(line: str, *arguments: object) -> tuple[int, str, str]:
    """Run the command line in a shell; `$@` of `line` is the command with these arguments."""
    command = [sys.executable, "-m", "bitwright", *map(str, arguments)]
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line, "bash", *command], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.usefixtures("streams")
@pytest.mark.parametrize(("line", "options", "message"), [
    ('"$@" >&-', [], "stdout is closed: the result would be lost"),
    ('"$@" >/dev/full', [], "cannot write the result to stdout: No space left on device"),
    ('"$@" >/dev/full', ["--json"], "cannot write the result to stdout: No space left on device"),
    ('"$@" >/dev/full', ["--help"], "No space left on device")])
def test_a_lost_result_is_an_error(path: Path, line: str, options: list[str], message: str) -> None:
    """Status 1 and one sentence, whether a table, JSON or help could not be written."""
    assert shell(line, "estimate", path, *options) == (1, "", f"bitwright: {message}\n")


@pytest.mark.usefixtures("streams")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_reader_that_has_gone_is_no_success(path: Path, options: list[str]) -> None:
    """Status 1 without a word, for the reader chose to go."""
    status, _, error = shell('(sleep 0.1; exec "$@") | true', "estimate", path, *options)
    assert (status, error) == (1, "")


@pytest.mark.usefixtures("streams")
@pytest.mark.parametrize("line", ['"$@" 2>/dev/full', '"$@" <&- 2>&-'])
def test_messages_that_are_lost_cost_nothing_else(path: Path, tmp_path: Path, line: str) -> None:
    """Where messages cannot be written the result still comes, and no file gets the number of a closed stream."""
    kept = tmp_path / "codes.npz"
    status, out, _ = shell(line, "simulate", path, "-o", kept, "--json")
    assert (status, out[0]) == (0, "{")
    with np.load(kept) as codes:
        assert codes.files


MEMORY = "[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
FAILURES = [
    (InputError("bits must be in 1..8, not 9"), "bits must be in 1..8, not 9"),
    (EngineError("vvp failed"), "vvp failed"),
    (MemoryError(), "not enough memory"),
    (MemoryError("Unable to allocate 1 TiB"), "not enough memory: Unable to allocate 1 TiB"),
    (RuntimeError(MEMORY), f"not enough memory: {MEMORY}"),
    (OverflowError("int too big to convert"), "a number is too large: int too big to convert"),
    (RecursionError("maximum depth exceeded"), "something is nested too deeply: maximum depth exceeded"),
    (FileNotFoundError(2, "No such file or directory", "a\nb"), "'a\\nb': No such file or directory"),
    (OSError(36, "File name too long", "n"), "'n': File name too long"),
    (OSError(28, "No space left on device"), "No space left on device"),
    (OSError("something else"), "something else"),
    (UnicodeEncodeError("ascii", "ü", 0, 1, "ordinal not in range(128)"),
     "'ascii' codec can't encode character '\\xfc' in position 0: ordinal not in range(128)"),
]


@pytest.mark.parametrize(("failure", "sentence"), FAILURES, ids=lambda value: type(value).__name__)
def test_a_failure_is_one_sentence(failure: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch,
                                   capfd: pytest.CaptureFixture[str]) -> None:
    """Status 1, nothing on stdout, and what was wrong on one line, whatever kind of failure a command ends in."""
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr("sim.arch.machine.load_machine", fail)
    assert main(["estimate", "p"]) == 1
    assert capfd.readouterr() == ("", f"bitwright: {sentence}\n")


def test_what_is_not_foreseen_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the tool itself is not passed off as one of the user."""
    def fail(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("sim.arch.machine.load_machine", fail)
    with pytest.raises(RuntimeError, match=r"^a fault$"):
        main(["estimate", "p"])


def test_ctrl_c_ends_with_130_and_a_word(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """SIGINT in the middle of a command: the status that shells give, and no traceback."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    monkeypatch.setattr("sim.arch.machine.load_machine", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        assert main(["estimate", "p"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capfd.readouterr() == ("", "bitwright: interrupted\n")
