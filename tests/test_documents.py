"""The pages name nothing that is not there: modules, objects, files, folders."""

import importlib
import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

import bitwright

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PACKAGES = ("sim", "rtl", "quant", "bitwright")
FILES = {f"bitwright.{suffix}" for suffix in ("f", "json", "sv", "toml", "vlt")}
"""Files that `bitwright generate` writes, and that of the user's options."""


def code_spans(page: Path) -> list[str]:
    """Return what a page sets in code font within its sentences and tables."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", prose)


def resolves(name: str) -> bool:
    """Return whether a dotted name is a module, or an attribute of one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            known = find_spec(".".join(parts[:count])) is not None
        except ModuleNotFoundError:
            continue
        if known:
            found: object = importlib.import_module(".".join(parts[:count]))
            for attribute in parts[count:]:
                if not hasattr(found, attribute):
                    return False
                found = getattr(found, attribute)
            return True
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_of_modules_and_objects_resolve(page: Path) -> None:
    """Every dotted name that begins with one of our packages is something that can be imported."""
    dotted = re.compile(rf"^((?:{'|'.join(PACKAGES)})(?:\.\w+)+)(?:\(.*\))?$")
    named = {match[1] for span in code_spans(page) if (match := dotted.match(span))}
    assert {name for name in named - FILES if not resolves(name)} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_of_files_and_folders_exist(page: Path) -> None:
    """Every path below one of our folders is there."""
    folders = "|".join((*PACKAGES, "tests", "docs", "scripts", "benchmarks"))
    path = re.compile(rf"^(?:{folders})/[\w./-]*$")
    assert {span for span in code_spans(page) if path.match(span) and not (ROOT / span).exists()} == set()


def test_names_that_are_not_there_are_noticed() -> None:
    """A wrong module, a wrong attribute and a wrong package do not resolve; right ones do."""
    assert [resolves(name) for name in ("sim.ir.formats.Format.low", "sim.plan", "sim.plan.plan.plan")] == [True] * 3
    assert [resolves(name) for name in ("sim.ir.format", "sim.ir.formats.Formats", "simulator.x")] == [False] * 3


def test_the_table_of_folders_is_complete() -> None:
    """docs/development.md has every folder of the packages that holds code, and only folders that there are."""
    page = (ROOT / "docs" / "development.md").read_text().partition("## Folders")[2].partition("## Conventions")[0]
    listed = {name.rstrip("/") for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
              for name in re.findall(r"`([^`]+)`", row) if name.startswith(tuple(f"{p}/" for p in PACKAGES))}
    there = {str(path.parent.relative_to(ROOT)) for package in PACKAGES
             for path in (ROOT / package).glob("*/**/*.py") if path.name != "__init__.py"}
    assert there - listed == set()
    assert {folder for folder in listed if not (ROOT / folder / "__init__.py").exists()} == set()


def test_the_kernels_of_the_simulator_are_there() -> None:
    """Every kernel in the table of docs/simulator.md belongs to a file of kernels."""
    table = (ROOT / "docs" / "simulator.md").read_text().partition("| kernel | computes |")[2].partition("\n\n")[0]
    families = set(re.findall(r"`(\w+)\.[\w*]+`", table))
    there = {path.stem for path in (ROOT / "sim" / "functional" / "kernels").glob("*.py")}
    assert families
    assert families <= there


def test_the_citation_is_that_of_the_package() -> None:
    """CITATION.cff has the fields that version 1.2.0 of its format requires; licence, authors and version are those of
    pyproject.toml, and the date is that of the version in the changelog."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation.keys() >= {"cff-version", "message", "title", "authors"}
    assert (citation["cff-version"], citation["type"], citation["title"].lower()) == (
        "1.2.0", "software", project["name"])
    assert (citation["version"], citation["license"], citation["authors"]) == (
        project["version"], project["license"], project["authors"])
    assert f"## [{citation['version']}] - {citation['date-released']}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_contributing_names_every_file_that_tells_ops_apart() -> None:
    """The files of a Program's meaning, time and values that define the op to follow, or treat it as a case of its own,
    are among those that CONTRIBUTING.md names for a new op."""
    page = (ROOT / "CONTRIBUTING.md").read_text().partition("## How to add an op")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([\w/]+\.py)`", page))
    mentioning = {path.relative_to(ROOT).as_posix() for folder in ("sim/ir", "sim/mapping", "sim/functional")
                  for path in (ROOT / folder).rglob("*.py")
                  if re.search(r"case Pool\(\)|^class Pool|\bop = Pool$", path.read_text(), re.MULTILINE)}
    assert mentioning
    assert mentioning - named == set()


def test_the_python_page_lists_every_public_name() -> None:
    """The table of docs/python.md has each name that `import bitwright` gives, once."""
    table = (ROOT / "docs" / "python.md").read_text().partition("|---|")[2].partition("\n\n")[0]
    named = [name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(bitwright.__all__)
