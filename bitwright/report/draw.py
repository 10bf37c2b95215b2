"""Figures as SVG, alone or all of a report below each other."""

from __future__ import annotations

from collections.abc import Sequence

from bitwright.report.draw_bars import draw_bars
from bitwright.report.draw_scatter import draw_scatter
from bitwright.report.frame import WIDTH, text
from bitwright.report.markup import Element, as_svg, node
from bitwright.report.page import Bars, Figure

__all__ = ["draw", "svg_sheet"]

HEAD = 34.0
"""Height of a figure's title on a sheet."""


def draw(figure: Figure, prefix: str) -> Element:
    """Draw a figure; `prefix` begins all identifiers in it."""
    return draw_bars(figure, prefix) if isinstance(figure, Bars) else draw_scatter(figure, prefix)


def svg_sheet(title: str, figures: Sequence[Figure]) -> str:
    """Return a file of SVG with all figures below each other, each under its title."""
    children, y = [node("title", title), node("rect", width="100%", height="100%", fill="#ffffff")], 0.0
    for number, figure in enumerate(figures):
        drawn = draw(figure, f"f{number}")
        children.append(text(figure.title, 8, y + 22, font_size=15, font_weight="600"))
        drawn.set("y", f"{y + HEAD:g}")
        children.append(drawn)
        y += HEAD + float(drawn.get("height", "0"))
    return as_svg(node("svg", None, children, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH:g} {y:g}",
                       width=WIDTH, height=y, font_family="system-ui, sans-serif")) + "\n"
