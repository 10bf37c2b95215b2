"""The page about the encoding of programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtl.encoding.docs import encoding_markdown
from rtl.encoding.geometry import Geometry
from sim.arch.machine import load_machine

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def page():
    """The page for the built-in machines."""
    return encoding_markdown([Geometry(load_machine(name)) for name in ("tiny", "edge", "large")])


def test_the_page_is_current(page):
    """docs/encoding.md is what the fields give; write it anew with `python scripts/write_pages.py`."""
    assert (DOCS / "encoding.md").read_text() == page


def test_widths_are_those_of_the_machines(page):
    """A field of fixed width shows it once, others once for each machine, arrays with their count."""
    assert "| `bits_a` | 3 |" in page
    machines = [Geometry(load_machine(name)) for name in ("tiny", "edge", "large")]
    addresses = ", ".join(str(geometry.address_bits) for geometry in machines)
    assert f"| `first` | {addresses} | first word of the tensor in a bank |" in page
    columns = ", ".join(f"{geometry.columns} × {geometry.column_bits}" for geometry in machines)
    assert f"| `bank` | {columns} |" in page
