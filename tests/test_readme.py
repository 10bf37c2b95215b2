"""What the README and the documentation show is what happens."""

import doctest
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
TOO_LONG = {"bitwright demo"}
"""Commands with tests of their own: here only their --help runs."""


def blocks(page: Path, *languages: str) -> list[tuple[str, str]]:
    """Fenced blocks of a page in these languages, in order, as (language, text)."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [(language, text) for language, text in found if language in languages]


def commands(page: Path) -> Iterator[str]:
    """Command lines of the page's console blocks."""
    for _, text in blocks(page, "console"):
        yield from (line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ "))


def run(command: list[str], directory: Path) -> None:
    """Run a command in `directory` with the programs of this environment first; it must succeed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, cwd=directory, env=os.environ | {"PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(command)} exits {done.returncode}:\n{done.stdout}{done.stderr}"


def test_readme_runs_from_top_to_bottom(tmp_path: Path) -> None:
    """Python blocks and `bitwright` commands work in the order in which they stand, in one empty directory."""
    for language, text in blocks(README, "python", "console"):
        if language == "python":
            run([sys.executable, "-W", "error", "-c", text], tmp_path)
            continue
        for line in text.splitlines():
            command = line.removeprefix("$ ")
            if command.startswith("bitwright"):
                run(shlex.split(command) + (["--help"] if command in TOO_LONG else []), tmp_path)


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_python_blocks_run(page: Path, tmp_path: Path) -> None:
    """Every Python block of a page is a whole program that ends without an error or a warning."""
    for _, text in blocks(page, "python"):
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
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert {target for target in targets if not (page.parent / target).exists()} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_print_what_they_show(page: Path) -> None:
    """Interactive examples of a page are one session whose output is exact."""
    text = "\n".join(text for _, text in blocks(page, "pycon"))
    session = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    results = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(session)
    assert results.failed == 0


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
