"""The page on your own network and data does what it says."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from bitwright.cli.app import main

PAGE = (Path(__file__).parents[1] / "docs" / "own.md").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of the page, and the data that one of them makes."""
    place = tmp_path_factory.mktemp("own")
    for name, text in re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        (place / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        exec((place / "make_data.py").read_text(), {})
    return place


@pytest.mark.trains
def test_its_commands_work_one_after_another(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The float network learns, the quantized ones keep most of it, and every history is as long as its training."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (block,) = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    first, *commands = [line.removeprefix("$ ") for line in block.splitlines()]
    assert first == "python make_data.py"
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "bitwright"
        assert main(arguments) == 0
    told = {name: json.loads((folder / name / "summary.json").read_text()) for name in ("float", "strict", "lsq")}
    assert {name: summary["accuracy"]["test"] > 0.7 for name, summary in told.items()} == dict.fromkeys(told, True)
    assert (len(told["float"]["history"]["float"]), len(told["lsq"]["history"]["3+3"])) == (6, 2)


REFUSED = re.findall(r"^\| `bitwright (.*?)` \| `(.*?)` \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("command", "answer"), REFUSED)
def test_its_refusals_are_the_real_ones(folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, answer: str,
                                        capfd: pytest.CaptureFixture[str]) -> None:
    """Status 1 and the sentence that the page shows; nothing is written."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert main(shlex.split(command)) == 1
    assert capfd.readouterr().err.startswith(answer)
    assert not (folder / "x").exists()


def test_the_page_shows_refusals() -> None:
    """The table is found."""
    assert len(REFUSED) == 7
