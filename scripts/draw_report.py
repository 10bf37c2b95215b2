"""Draw the figure of the page on reports: cycles and energy of ResNet-8 on `edge`, as a report has them.

Run `python scripts/draw_report.py` to write docs/report.svg; with `--check` it says whether the file is current.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bitwright.report.draw import svg_sheet
from bitwright.report.estimated import estimated
from bitwright.report.of_estimate import estimate_page
from sim.arch.machine import load_machine
from sim.io.atomic_write import atomic_write_text
from sim.ir.shapes import load_shapes

FIGURE = Path(__file__).parents[1] / "docs" / "report.svg"
SHOWN = ("cycles per layer", "energy per layer")


def drawing() -> str:
    """Return the figure."""
    page = estimate_page(estimated("resnet8", load_shapes("resnet8"), load_machine("edge"), None, [(4, 4)]))
    return svg_sheet(page.title, [figure for figure in page.figures if figure.title in SHOWN])


def main() -> int:
    """Write the figure, or check it."""
    if "--check" not in sys.argv[1:]:
        atomic_write_text(FIGURE, drawing())
        return 0
    if FIGURE.read_text() != drawing():
        print(f"{FIGURE} is not current: run python scripts/draw_report.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
