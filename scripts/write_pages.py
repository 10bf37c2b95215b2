"""Write the pages of the documentation that are made from tables: events, registers and encoding."""

from __future__ import annotations

from pathlib import Path

from rtl.encoding.docs import encoding_markdown
from rtl.encoding.geometry import Geometry
from rtl.shell.csr_docs import registers_markdown
from sim.arch.machine import load_machine
from sim.energy.docs import events_markdown
from sim.io.atomic_write import atomic_write_text

DOCS = Path(__file__).parents[1] / "docs"
MACHINES = ("tiny", "edge", "large")

if __name__ == "__main__":
    atomic_write_text(DOCS / "events.md", events_markdown())
    atomic_write_text(DOCS / "registers.md", registers_markdown())
    atomic_write_text(DOCS / "encoding.md", encoding_markdown([Geometry(load_machine(name)) for name in MACHINES]))
