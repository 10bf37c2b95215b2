"""The parts of a night hold everything there is."""

import re
import tomllib
from pathlib import Path

import nightly
import portability

ROOT = Path(__file__).parents[2]


def covered(path: Path) -> list[str]:
    """Names of the parts whose tests are that file's."""
    found = []
    for part in nightly.PARTS:
        places = [ROOT / word for word in part.command if word.partition("/")[0] in nightly.FOLDERS]
        ignored = [ROOT / word.removeprefix("--ignore=") for word in part.command if word.startswith("--ignore=")]
        inside = [any(path.is_relative_to(place) for place in list_) for list_ in (places, ignored)]
        if inside == [True, False]:
            found.append(part.name)
    return found


def test_every_file_of_tests_is_in_one_part() -> None:
    """What `make test` collects runs in the night as well, each file once."""
    folders = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["testpaths"]
    assert set(folders) == set(nightly.FOLDERS)
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py") if path.name != "conftest.py"]
    assert {str(path): covered(path) for path in files if len(covered(path)) != 1} == {}


def test_targets_of_make_are_there() -> None:
    """Parts that are a target of the Makefile name one that exists."""
    makefile = (ROOT / "Makefile").read_text()
    targets = [part.command[1] for part in nightly.PARTS if part.command[0] == "make"]
    assert {"lint", "docs", "fuzz"} <= set(targets)
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def test_every_setting_is_one_change() -> None:
    """Other kernels, threads and seeds, one at a time; everything else is as in `make test`."""
    changed = [dict(part.environment.items() - {("OMP_NUM_THREADS", "1"), ("OMP_WAIT_POLICY", "passive")})
               for part in portability.PARTS]
    assert all(len(environment) == 1 for environment in changed)
    assert len({tuple(environment.items()) for environment in changed}) == 8
