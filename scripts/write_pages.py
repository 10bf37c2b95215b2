"""Write the pages of the documentation that are made from tables of the hardware: registers and encoding."""

from __future__ import annotations

from pathlib import Path

from rtl.field_documents import encoding_markdown
from rtl.geometry import Geometry
from rtl.register_documents import registers_markdown
from sim.atomic import atomic_write_text
from sim.machine import load_machine

DOCS = Path(__file__).parents[1] / "docs"
MACHINES = ("tiny", "edge", "large")

if __name__ == "__main__":
    atomic_write_text(DOCS / "registers.md", registers_markdown())
    atomic_write_text(DOCS / "encoding.md", encoding_markdown([Geometry(load_machine(name)) for name in MACHINES]))
