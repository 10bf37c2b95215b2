"""`bitwright calibrate` refuses what no technology can be made of, before it maps anything."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bitwright.cli.app import main

Run = Callable[..., tuple[int, str, str]]
EMPTY = 'library (m) { time_unit : "1ns"; capacitive_load_unit (1, pf); nom_voltage : 1.2; }'


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Calibrate with these arguments; exit status, stdout and stderr."""
    def run(*arguments: object) -> tuple[int, str, str]:
        status = main(["calibrate", "-o", str(tmp_path / "t.yaml"), "--node-nm", "130", *map(str, arguments)])
        return status, *capfd.readouterr()
    return run


@pytest.mark.parametrize(("text", "reason"), [
    ("module m; endmodule", "a Liberty file must begin with 'library ('"),
    ("library (m) { cell (a) {", "the file is not whole: 2 groups do not end"),
    ("library (m) { }", "capacitive_load_unit must be a number and a unit, not ''"),
])
def test_what_is_no_liberty_file_is_refused(run: Run, tmp_path: Path, text: str, reason: str) -> None:
    """Other files, truncated ones and such without units end with one sentence, and nothing is written."""
    path = tmp_path / "m.lib"
    path.write_text(text)
    status, _, error = run("-l", path)
    assert status == 1
    assert f"{path}: {reason}" in error
    assert "Traceback" not in error
    assert not (tmp_path / "t.yaml").exists()


def test_a_library_of_gates_is_no_macro(run: Run, tmp_path: Path) -> None:
    """What --sram names must hold memories."""
    path = tmp_path / "m.lib"
    path.write_text(EMPTY)
    status, _, error = run("-l", path, "--sram", path)
    assert status == 1
    assert f"{path}: no cell is a memory (has a group 'memory')" in error


def test_the_result_must_not_overwrite_a_library(run: Run, tmp_path: Path) -> None:
    """A technology file that is also an input is refused."""
    path = tmp_path / "t.yaml"
    path.write_text(EMPTY)
    status, _, error = run("-l", path)
    assert status == 1
    assert path.read_text() == EMPTY
    assert "t.yaml" in error


def test_the_node_must_be_given(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """No Liberty file says it, so the command asks for it."""
    assert main(["calibrate", "-l", str(tmp_path / "m.lib"), "-o", str(tmp_path / "t.yaml")]) == 2
    assert "Missing option '--node-nm'" in capfd.readouterr().err
