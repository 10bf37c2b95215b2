"""The tutorial as a notebook runs from top to bottom, and what its cells end in shows itself."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples" / "tutorial.ipynb"
SHOW = """
def show(value):
    html = getattr(value, "_repr_html_", None)
    print("SHOWN", type(value).__name__, len(html() if html else repr(value)))
"""


def cells() -> list[str]:
    """Return the code of all cells."""
    book = json.loads(NOTEBOOK.read_text())
    return ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]


def shown(cell: str) -> str:
    """Return a cell whose last expression is shown, as a notebook does."""
    tree = ast.parse(cell)
    if isinstance(tree.body[-1], ast.Expr):
        last = tree.body[-1]
        tree.body[-1] = ast.Expr(ast.Call(ast.Name("show", ast.Load()), [last.value], []))
    return ast.unparse(ast.fix_missing_locations(tree))


@pytest.mark.slow
@pytest.mark.trains
def test_the_notebook_runs(tmp_path: Path) -> None:
    """One session of all cells in their order, in an empty folder, without a warning; objects show themselves, the
    hardware agrees, and Verilog and a report are there."""
    session = SHOW + "\n".join(shown(cell) for cell in cells())
    done = subprocess.run([sys.executable, "-W", "error", "-c", session], cwd=tmp_path, capture_output=True, text=True,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    kinds = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("SHOWN")]
    assert [kind for kind in kinds if kind not in ("str", "dict")] == [
        "Compared", "Estimate", "Allocation", "Compared", "AreaEstimate", "Verification"]
    assert (tmp_path / "verilog" / "bitwright.sv").exists()
    assert (tmp_path / "mixed.html").read_text().startswith("<!DOCTYPE html>")


def test_the_notebook_is_kept_without_results() -> None:
    """Cells have not been run where they are kept, so that what is shown is what happens; links lead somewhere."""
    book = json.loads(NOTEBOOK.read_text())
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in book["cells"]
               if cell["cell_type"] == "code")
    assert len({cell["id"] for cell in book["cells"]}) == len(book["cells"])
    links = [word.partition(")")[0].partition("#")[0] for cell in book["cells"] if cell["cell_type"] == "markdown"
             for word in "".join(cell["source"]).split("](")[1:]]
    assert links
    assert all((NOTEBOOK.parent / link).exists() for link in links)
