"""Figures of points over two axes as SVG."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bitwright.report.draw_names import draw_names
from bitwright.report.frame import WIDTH, figure_element, mark_element, short, text, ticks_along
from bitwright.report.markup import Element, node
from bitwright.report.page import Point, Scatter, Series
from bitwright.report.palette import MARKS, colour
from bitwright.report.ticks import scale_over
from sim.io.cells import cell_text

__all__ = ["draw_scatter"]

HEIGHT, LEFT, RIGHT = 340.0, 72.0, WIDTH - 24
MOST_NAMED = 12
"""Points of a figure that have their names beside them, where there is room."""
SIZE, FAINT = 4.5, 2.5
"""Half the width of a mark, and of one in the background."""
CORNERS = {"square": "-1,-1 1,-1 1,1 -1,1", "diamond": "0,-1.3 1.3,0 0,1.3 -1.3,0",
           "triangle": "0,-1.2 1.2,1 -1.2,1",
           "cross": "-1,-.4 -.4,-.4 -.4,-1 .4,-1 .4,-.4 1,-.4 1,.4 .4,.4 .4,1 -.4,1 -.4,.4 -1,.4"}

Place = Callable[[float], float]


def draw_scatter(figure: Scatter, prefix: str) -> Element:
    """Draw points, their bands and the lines through them.

    Parameters
    ----------
    figure : Scatter
    prefix : str
        Of all identifiers in the figure.
    """
    several = len(figure.series) > 1
    top, bottom = 12 + (22 if several else 0), HEIGHT - 48
    points = [point for series in figure.series for point in series.points]
    along, up = scale_over(_reach(points, "x"), logarithmic=figure.x.logarithmic), scale_over(
        _reach(points, "y"), logarithmic=figure.y.logarithmic)

    def x(value: float) -> float:
        return LEFT + (RIGHT - LEFT) * along(value)

    def y(value: float) -> float:
        return bottom - (bottom - top) * up(value)

    children = list(ticks_along(along, LEFT, RIGHT, top, bottom, figure.x.label))
    for tick in up.ticks:
        children += [node("path", d=f"M{LEFT:g} {y(tick):.2f}H{RIGHT:g}", stroke="#dddddd", fill="none"),
                     text(short(tick), LEFT - 6, y(tick) + 4, "end", font_size=11)]
    middle = (top + bottom) / 2
    children.append(text(figure.y.label, 14, middle, "middle", transform=f"rotate(-90 14 {middle:g})"))
    named = sum(len(series.points) for series in figure.series if series.marks) <= MOST_NAMED
    children += _legend(figure) if several else ()
    for number, series in reversed([*enumerate(figure.series)]):  # the first lies on top
        children += _series(figure, series, number, x, y, named)
    return figure_element(figure, children, HEIGHT, prefix)


def _legend(figure: Scatter) -> Iterator[Element]:
    x = LEFT
    for number, series in enumerate(figure.series):
        if series.joined:
            yield _line(f"M{x - 4:g} 14h22", number)
        if series.marks:
            yield _mark(number, x + 7, 14)
        yield text(series.name, x + 24, 18)
        x += 40 + 6.2 * len(series.name)


def _series(figure: Scatter, series: Series, number: int, x: Place, y: Place, named: bool) -> Iterator[Element]:
    if series.joined and series.points:
        yield _line("M" + "L".join(f"{x(point.x):.2f} {y(point.y):.2f}" for point in series.points), number)
    if not series.marks:
        return
    for point in series.points:
        yield mark_element(_label(figure, series, point), _point(point, number, x, y, FAINT if series.faint else SIZE))
    if named:
        yield from draw_names([(point.name, x(point.x), y(point.y)) for point in series.points], SIZE, (LEFT, WIDTH))


def _point(point: Point, number: int, x: Place, y: Place, size: float) -> Iterator[Element]:
    across, up = x(point.x), y(point.y)
    if point.y_band:
        yield node("path", d=f"M{across - 3:.2f} {y(point.y_band.low):.2f}h6M{across:.2f} {y(point.y_band.low):.2f}"
                   f"V{y(point.y_band.high):.2f}M{across - 3:.2f} {y(point.y_band.high):.2f}h6", stroke=colour(number),
                   stroke_width=1.2, fill="none")
    if point.x_band:
        yield node("path", d=f"M{x(point.x_band.low):.2f} {up:.2f}H{x(point.x_band.high):.2f}", stroke=colour(number),
                   stroke_width=1.2, fill="none")
    yield _mark(number, across, up, size)


def _line(path: str, number: int) -> Element:
    return node("path", d=path, stroke=colour(number), stroke_width=1.6, fill="none",
                stroke_dasharray=None if number % 2 == 0 else "6 3")


def _mark(number: int, x: float, y: float, size: float = SIZE) -> Element:
    """Draw the mark of a series: its shape tells it from others as well as its colour."""
    shape = MARKS[number % len(MARKS)]
    if shape == "circle":
        return node("circle", cx=x, cy=y, r=size, fill=colour(number), stroke="#ffffff", stroke_width=0.8)
    places = " ".join(f"{x + size * float(a):.2f},{y + size * float(b):.2f}"
                      for a, b in (corner.split(",") for corner in CORNERS[shape].split()))
    return node("polygon", points=places, fill=colour(number), stroke="#ffffff", stroke_width=0.8)


def _label(figure: Scatter, series: Series, point: Point) -> str:
    """Say what a point shows."""
    of = f" ({series.name})" if len(figure.series) > 1 else ""
    told = [(figure.x.label, point.x_band or point.x), (figure.y.label, point.y_band or point.y), *point.more]
    return f"{point.name}{of}: " + "; ".join(f"{name} {cell_text(value)}" for name, value in told)


def _reach(points: list[Point], axis: str) -> list[float]:
    """Return all coordinates along an axis, with the ends of bands."""
    found = []
    for point in points:
        band = point.x_band if axis == "x" else point.y_band
        found += [getattr(point, axis), *((band.low, band.high) if band else ())]
    return found
