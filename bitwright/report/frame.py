"""What all figures have: size, title and description, axes, a legend, and marks that can be pointed at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bitwright.report.markup import Element, node
from bitwright.report.page import Figure
from bitwright.report.palette import INK, colour, ink_on, letter
from bitwright.report.ticks import Scale
from sim.io.cells import cell_text

__all__ = ["GLYPH", "LABELS", "WIDTH", "figure_element", "legend", "legend_height", "mark_element",
           "part_letter", "text", "ticks_along"]

WIDTH, LABELS = 760.0, 200.0
"""Width of a figure, and the most of it that names may take."""
GLYPH = 6.2
"""Width of a letter, about."""
LINE, SWATCH = 18.0, 24.0
FAINT = "#dddddd"


def figure_element(figure: Figure, children: Iterable[Element], height: float, prefix: str) -> Element:
    """Return a figure of WIDTH by `height`, which says what it shows to who does not see it."""
    return node(
        "svg", None, [node("title", figure.title, id=f"{prefix}-title"),
                      node("desc", figure.description, id=f"{prefix}-desc"), *children],
        xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH:g} {height:g}", width=WIDTH, height=height,
        role="group", aria_labelledby=f"{prefix}-title", aria_describedby=f"{prefix}-desc",
        font_family="system-ui, sans-serif", font_size=12)


def mark_element(label: str, children: Iterable[Element]) -> Element:
    """Return a mark that says its numbers when it is pointed at or has the focus."""
    return node("g", None, [node("title", label), *children], class_="mark", role="img", aria_label=label)


def text(words: str, x: float, y: float, anchor: str = "start", most: int | None = None,
         **more: str | float) -> Element:
    """Return words at a place; of more than `most` letters the beginning."""
    cut = words if most is None or len(words) <= most else f"{words[:max(1, most - 1)]}…"
    return node("text", cut, (), x=x, y=y, text_anchor=anchor, fill=INK, **more)


def ticks_along(scale: Scale, left: float, right: float, top: float, bottom: float, label: str) -> Iterator[Element]:
    """Draw the lines and numbers of a level axis, and its label."""
    for tick in scale.ticks:
        x = left + (right - left) * scale(tick)
        yield node("path", d=f"M{x:.2f} {top:.2f}V{bottom:.2f}", stroke=FAINT, fill="none")
        yield text(short(tick), x, bottom + 15, "middle", font_size=11)
    yield text(label, (left + right) / 2, bottom + 32, "middle")


def short(value: float) -> str:
    """Return a number of an axis in few letters.

    >>> [short(value) for value in (0.0, 0.05, 250.0, 20000.0, 3e6, 1e-5)]
    ['0', '0.05', '250', '20k', '3M', '1e-05']
    """
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if 1e4 <= abs(value) and factor <= abs(value) < factor * 1e3:
            return f"{value / factor:g}{unit}"
    return cell_text(value) if abs(value) >= 1e4 else f"{value:g}"


def legend(names: Sequence[str], letters: bool) -> Iterator[Element]:
    """Draw what the parts of bars are called, in rows, and the letters that stand for them if they have some."""
    for number, (name, (x, y)) in enumerate(zip(names, _places(names), strict=True)):
        yield node("rect", x=x, y=y + 2, width=15, height=14, fill=colour(number))
        if letters:
            yield part_letter(number, x + 7.5, y + 13)
        yield text(name, x + 20, y + 13)


def part_letter(number: int, x: float, y: float) -> Element:
    """Return the letter of a part."""
    return node("text", letter(number), x=x, y=y, text_anchor="middle", fill=ink_on(number), font_size=11,
                aria_hidden="true")


def legend_height(names: Sequence[str]) -> float:
    """Return the height of the legend; one part needs none."""
    return _places(names)[-1][1] + LINE + 4 if len(names) > 1 else 0.0


def _places(names: Sequence[str]) -> list[tuple[float, float]]:
    """Return where the entries of a legend stand."""
    x, y, found = 8.0, 4.0, []
    for name in names:
        wide = SWATCH + GLYPH * len(name) + 14
        if x + wide > WIDTH and x > 8:
            x, y = 8.0, y + LINE
        found.append((x, y))
        x += wide
    return found
