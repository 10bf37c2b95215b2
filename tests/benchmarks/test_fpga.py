"""What the page about FPGAs shows."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.fpga import FpgaUse, table

ROOT = Path(__file__).parents[2]


def test_the_page_shows_the_record() -> None:
    """Every line of the table is that of the build whose record is kept."""
    record = FpgaUse(**json.loads((ROOT / "benchmarks" / "results" / "fpga.json").read_text()))
    page = (ROOT / "docs" / "fpga.md").read_text()
    shown = page.partition("<!-- fpga -->\n")[2].partition("\n<!-- end of fpga -->")[0]
    assert shown.splitlines() == table(record)
