"""Parts run once for each state of the sources, go on where they were stopped, and tell their verdicts and times."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import parts
import pytest
from parts import Part, run_parts

Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Three parts, each of which adds its letter to a file; b is red if a file `red` is there."""
    monkeypatch.setattr(parts, "ROOT", tmp_path)
    monkeypatch.setattr(parts, "_commit", lambda: "c0ffee")
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    three = [Part(name, ("sh", "-c", f"echo said; printf {name}$LETTER >> ran; ! [ {name} = b -a -e red ]"),
                  {"LETTER": "."}) for name in "abc"]
    return lambda *arguments: run_parts("Three.", three, Path("out"), arguments)


def test_green_parts_run_once_and_red_ones_again(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The status is 1 as long as a part is red; what is green stands until another state or `--again`."""
    (tmp_path / "red").touch()
    assert run() == 1
    table = capsys.readouterr().out
    assert re.sub(r"\d:\d\d:\d\d", "TIME", table) == (
        "part  verdict  time\na     green    TIME\nb     RED (1)  TIME\nc     green    TIME\nall            TIME\n")
    (tmp_path / "red").unlink()
    assert run() == 0
    assert (tmp_path / "ran").read_text() == "a.b.c.b."
    assert run("--again") == 0
    assert (tmp_path / "ran").read_text() == "a.b.c.b.a.b.c."
    log = (tmp_path / "out" / "c0ffee" / "a.log").read_text()
    assert log == "$ LETTER=. sh -c echo said; printf a$LETTER >> ran; ! [ a = b -a -e red ]\nsaid\n"


@pytest.mark.parametrize("damaged", ["", "[]", "{}", "7"])
def test_a_part_of_which_the_result_is_damaged_runs_again(damaged: str, run: Run, tmp_path: Path) -> None:
    """What cannot be read is no verdict."""
    assert run() == 0
    (tmp_path / "out" / "c0ffee" / "b.json").write_text(damaged)
    assert run() == 0
    assert (tmp_path / "ran").read_text() == "a.b.c.b."


def test_another_state_of_the_sources_begins_anew(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results of one commit say nothing of the next; without git nothing says what they are of."""
    assert run() == 0
    monkeypatch.setattr(parts, "_commit", lambda: "decade")
    assert run() == 0
    for _ in range(2):
        monkeypatch.setattr(parts, "_commit", lambda: None)
        assert run() == 0
    assert (tmp_path / "ran").read_text() == "a.b.c." * 4


def test_some_parts_alone(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--only` runs and judges these; `--list` runs nothing; a part that is none is misuse."""
    assert run("--list") == 0
    assert capsys.readouterr().out.startswith("a: LETTER=. sh -c echo said; ")
    assert run("--only", "c", "a") == 0
    assert (tmp_path / "ran").read_text() == "a.c."
    with pytest.raises(SystemExit) as stopped:
        run("--only", "d")
    assert stopped.value.code == 2


def test_parts_see_nothing_of_the_make_that_runs_them(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make nightly PARTS=portability` asks for that part, not for parts of it."""
    monkeypatch.setattr(parts, "ROOT", tmp_path)
    monkeypatch.setattr(parts, "_commit", lambda: "c0ffee")
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    monkeypatch.setenv("PARTS", "portability")
    monkeypatch.setenv("MAKEFLAGS", " -- PARTS=portability")
    assert run_parts("One.", [Part("a", ("sh", "-c", "test -z \"$PARTS$MAKEFLAGS\""))], Path("out"), []) == 0


def git(place: Path, *arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@x", *arguments], cwd=place, check=True,
                   capture_output=True)


def test_the_state_is_the_commit_and_what_differs_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed file and a new one each make another state, an ignored one does not; None without a repository."""
    monkeypatch.setattr(parts, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    states = [parts._commit()]
    git(tmp_path, "init")
    (tmp_path / ".gitignore").write_text("ignored")
    (tmp_path / "old").write_text("1")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-m", "first")
    states.append(parts._commit())
    (tmp_path / "ignored").write_text("1")
    assert parts._commit() == states[-1]
    for name in ("old", "new", "new"):
        with (tmp_path / name).open("a") as file:
            file.write("2")
        states.append(parts._commit())
    assert states[0] is None
    assert len(set(states)) == len(states)
    assert all(str(state).startswith(f"{states[1]}-") for state in states[2:])


STOPPED = """
import sys
from pathlib import Path
import parts
parts.ROOT, parts._commit = Path(sys.argv[1]), lambda: "c0ffee"
waiting = parts.Part("wait", ("sh", "-c", "echo $$ > shell; sleep 60 & echo $! > child; wait"))
sys.exit(parts.run_parts("Waits.", [waiting], Path("out"), []))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_part_that_is_stopped_ends_with_all_it_started(tmp_path: Path, number: signal.Signals) -> None:
    """The status of that signal, nothing goes on running, and the part has no result."""
    with subprocess.Popen([sys.executable, "-c", STOPPED, str(tmp_path)], stdout=subprocess.PIPE, text=True,
                          cwd=Path(parts.__file__).parent, env=os.environ | {"PYTHONPATH": str(parts.ROOT)}) as process:
        while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text().endswith("\n"):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        table, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "wait  not run" in table
    assert [name for name in ("shell", "child") if runs(int((tmp_path / name).read_text()))] == []


def runs(process: int) -> bool:
    """Is it there, and more than what nobody has waited for yet?"""
    state = Path(f"/proc/{process}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] not in "ZX"
