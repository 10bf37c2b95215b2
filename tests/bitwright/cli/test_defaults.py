"""What the command line is told beside its words: a file of options, quiet, JSON of failures, completion."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bitwright.cli.app import main

SHAPES = ("{name: n, inputs: {x: {channels: 8, height: 6, width: 6, bits: 8}}, layers: [{name: first, channels: 8}, "
          "{name: fc, channels: 4}]}")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a network of shapes, and another for the user's configuration."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "n.yaml").write_text(SHAPES)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "here"


def estimated(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[str, list[str], str]:
    """Return the machine and the bits of an estimate, and what went to stderr."""
    assert main(["estimate", "n.yaml", "--json", *words]) == 0
    out, error = capfd.readouterr()
    data = json.loads(out)
    return data["machine"], list(data["choices"]) if "choices" in data else [data["bits"]], error


def test_a_file_gives_options(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Of a section for all commands and of one's own, lists too; the command line comes first; stderr names them."""
    (place / "bitwright.toml").write_text('[all]\nmachine = "tiny"\n[estimate]\nbits = [4, "2/3"]\n')
    assert estimated(capfd) == ("tiny", ["4/4", "2/3"], "options from bitwright.toml: bits, machine\n")
    assert estimated(capfd, "-m", "edge", "-b", "3")[:2] == ("edge", ["3/3"])


def test_the_users_configuration_counts_where_there_is_no_file(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A file in the working directory takes its place as a whole."""
    settings = place.parent / "config" / "bitwright"
    settings.mkdir(parents=True)
    (settings / "bitwright.toml").write_text('[all]\nmachine = "tiny"\n')
    assert estimated(capfd)[0] == "tiny"
    (place / "bitwright.toml").write_text("")
    assert estimated(capfd) == ("edge", ["8/8"], "")


@pytest.mark.parametrize(("text", "message"), [
    ("[estimates]", "a section is called as a command is or all, not 'estimates'"),
    ("[estimate]\nmachin = 1", "'estimate' has no option --machin"),
    ("[all]\nmachin = 1", "no command has option --machin"),
    ("machine = 1", "a section is called as a command is or all, not 'machine'"),
    ("estimate = 1", "'estimate' must be a section, [estimate]"),
    ("[estimate]\nbits = {a = 1}", "--bits must be text, a number, true, false, or a list, not {...}"),
    ("[estimate]\nhelp = true", "'estimate' has no option --help"),
    ("x", "Expected '=' after a key in a key/value pair (at end of document)"),
])
def test_a_wrong_file_is_refused(place: Path, capfd: pytest.CaptureFixture[str], text: str, message: str) -> None:
    """One sentence names the file and what is wrong in it."""
    (place / "bitwright.toml").write_text(text)
    assert main(["estimate", "n.yaml"]) == 1
    assert capfd.readouterr() == ("", f"bitwright: options of bitwright.toml: {message}\n")


def test_quiet_leaves_results_and_failures(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Remarks go; tables and sentences about failures stay; the next command is not quiet."""
    (place / "bitwright.toml").write_text('[all]\nmachine = "tiny"\n')
    assert main(["--quiet", "estimate", "n.yaml"]) == 0
    out, error = capfd.readouterr()
    assert "machine 'tiny'" in out
    assert error == ""
    assert main(["-q", "estimate", "m.yaml"]) == 1
    assert capfd.readouterr().err.startswith("bitwright: ")
    assert "options from" in estimated(capfd)[2]


@pytest.mark.usefixtures("place")
def test_failures_are_json_too(capfd: pytest.CaptureFixture[str]) -> None:
    """The sentence of stderr and the exit status; without --json stdout stays empty."""
    assert main(["estimate", "n.yaml", "--bits", "9", "--json"]) == 1
    out, error = capfd.readouterr()
    assert json.loads(out) == {"error": {"message": "bits must be in 1..8, not 9", "exit_status": 1}}
    assert error == "bitwright: bits must be in 1..8, not 9\n"
    assert main(["estimate", "n.yaml", "--bits", "9"]) == 1
    assert capfd.readouterr().out == ""


def test_the_shell_completes_commands() -> None:
    """As bash asks for them."""
    done = subprocess.run([sys.executable, "-m", "bitwright"], capture_output=True, text=True, check=True, env={
        **os.environ, "_BITWRIGHT_COMPLETE": "complete_bash", "COMP_WORDS": "bitwright es", "COMP_CWORD": "1"})
    assert done.stdout.split() == ["estimate"]
