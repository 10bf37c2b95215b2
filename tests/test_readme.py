"""What the README and the documentation show is what happens."""

import doctest
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim.testing.coverage.bins import GROUPS
from sim.testing.coverage.coverage import Coverage

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
TUTORIAL = ROOT / "docs" / "tutorial.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, *languages: str) -> list[tuple[str, str]]:
    """Fenced blocks of a page in these languages, in order, as (language, text)."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [(language, text) for language, text in found if language in languages]


def commands(page: Path) -> Iterator[str]:
    """Command lines of the page's console blocks."""
    for _, text in blocks(page, "console"):
        yield from (line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ "))


def run(command: list[str], directory: Path, **variables: str) -> str:
    """Run a command in `directory` with the programs of this environment first; it must succeed. Return its stdout."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, cwd=directory, env=os.environ | {"PATH": path} | variables, capture_output=True,
                          text=True)
    assert done.returncode == 0, f"{shlex.join(command)} exits {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_readme_runs_from_top_to_bottom(tmp_path: Path) -> None:
    """Python blocks, which print the texts that follow them, and `bitwright` commands work in the order in which they
    stand, in one empty directory."""
    printed = ""
    for language, text in blocks(README, "python", "text", "console"):
        match language:
            case "python":
                printed = run([sys.executable, "-W", "error", "-c", text], tmp_path)
            case "text":
                assert printed == text
            case "console":
                for line in text.splitlines():
                    if line.startswith("$ bitwright "):
                        run(shlex.split(line.removeprefix("$ ")), tmp_path)


@pytest.mark.slow
@pytest.mark.trains
def test_tutorial_runs_from_top_to_bottom(tmp_path: Path) -> None:
    """Its Python blocks are one session, its commands work on the files that the session leaves, and the session prints
    what the page shows: everything to the digit, but accuracies and, once bits were chosen by them, all numbers."""
    session = "".join(text for _, text in blocks(TUTORIAL, "python"))
    printed = run([sys.executable, "-W", "error", "-c", session], tmp_path)
    for command in commands(TUTORIAL):
        run(shlex.split(command), tmp_path)
    shown = "".join(text for _, text in blocks(TUTORIAL, "text"))
    trained = "stem.0       8 5"
    assert trained in shown
    exact, chosen = (re.sub(r"[\d.]+%", "…%", text) for text in shown.split(trained))
    found = re.sub(r"[\d.]+%", "…%", printed)
    assert found.startswith(exact)
    assert re.sub(r"[\d,]+", "…", found[len(exact):]) == re.sub(r"[\d,]+", "…", trained + chosen)


@pytest.mark.parametrize("page", [page for page in PAGES[1:] if page != TUTORIAL], ids=lambda page: page.name)
def test_python_blocks_run(page: Path, tmp_path: Path) -> None:
    """Every Python block of a page is a whole program that ends without an error or a warning. Blocks that are files
    run where their page is tested."""
    for _, text in blocks(page, "python"):
        if not re.match(r"# \w+\.py\n", text):
            run([sys.executable, "-W", "error", "-c", text], tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    """Every `make target` that a page names, in a block or in a sentence, is a target of the Makefile."""
    named = {command.removeprefix("make ") for command in commands(page) if command.startswith("make ")}
    named |= set(re.findall(r"`make ([a-z]+)", page.read_text()))
    makefile = (ROOT / "Makefile").read_text()
    assert {target for target in named if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file of the checkout."""
    targets = re.findall(r"(?:\]\(|\bsrc=\")(?!https?:)([^)#\"]+)", page.read_text())
    assert {target for target in targets if not (page.parent / target).exists()} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_print_what_they_show(page: Path) -> None:
    """Interactive examples of a page are one session whose output is exact."""
    text = "\n".join(text for _, text in blocks(page, "pycon"))
    session = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    results = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(session)
    assert results.failed == 0


def test_badges_say_what_the_package_says() -> None:
    """The licence and the Python versions on the badges and in their texts are those of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pythons = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    named = {"licence": f"licence: {project['license']}", "python": f"Python: {' | '.join(pythons)}"}
    for badge, label in named.items():
        drawing = (ROOT / "docs" / "badges" / f"{badge}.svg").read_text()
        assert f'aria-label="{label}"' in drawing
        assert re.findall(r">([^<>\n]+)</text>", drawing) == label.split(": ")
        assert f"![{label}]".replace(" | ", ", ").lower() in README.read_text().lower()


def test_readme_lists_every_command(tmp_path: Path) -> None:
    """The table has a row for each command that `bitwright --help` lists, and for no other."""
    text = run(["bitwright", "--help"], tmp_path, COLUMNS="200", NO_COLOR="1")
    listed = re.findall(r"^│ (\w+) ", text.partition("Commands")[2], re.MULTILINE)
    table = README.read_text().partition("| command | purpose |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    assert listed
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(listed)


def test_readme_shows_the_coverage_of_make_test() -> None:
    """The bins and the goal are today's, the share is that of the bins, and it reaches the goal."""
    (found,) = re.findall(r"^(\d+) of (\d+) bins, ([\d.]+) %; the goal is (\d+) %$", README.read_text(), re.MULTILINE)
    covered, declared, percent, goal = map(float, found)
    assert declared == Coverage(GROUPS).declared
    assert f"{100 * covered / declared:.1f}" == f"{percent:.1f}"
    assert f"--coverage-goal {goal:g}" in (ROOT / "Makefile").read_text()
    assert percent >= goal


def test_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    """`make docs` is strict; a broken link or anchor stops it."""
    run([sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")], ROOT)
    assert (tmp_path / "site" / "contract.html").is_file()
    assert (tmp_path / "site" / "search" / "search_index.js").is_file()
    fetched = {
        address
        for page in (tmp_path / "site").glob("*.html")
        for tag in re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page.read_text())
        for address in re.findall(r"(?:src|href)=[\"']?((?:https?:)?//[^\"'\s>]*)", tag)
    }
    assert fetched == set(), "pages fetch nothing from the network"
