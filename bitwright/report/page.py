"""What a report consists of, whatever it is written as: sections of tables and figures."""

from __future__ import annotations

from dataclasses import dataclass

from sim.energy.band import Band

__all__ = ["Axis", "Bar", "Bars", "Block", "Cell", "Figure", "Page", "Point", "Scatter", "Section", "Series", "Table",
           "numbers_of"]

Cell = str | int | float | Band | None


@dataclass(frozen=True)
class Table:
    """Rows of cells, as many in each as there are columns, whose names carry units."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Bar:
    """A bar: a value of every part, and the band of the whole if it has one."""

    name: str
    values: tuple[float, ...]
    band: Band | None = None


@dataclass(frozen=True)
class Bars:
    """Bars of something by name, each of several parts.

    Attributes
    ----------
    title, description : str
    quantity : str
        What their length is, with its unit.
    parts : tuple of str
    bars : tuple of Bar
        From top to bottom.
    stacked : bool
        Parts lie one after another; otherwise side by side.
    """

    title: str
    description: str
    quantity: str
    parts: tuple[str, ...]
    bars: tuple[Bar, ...]
    stacked: bool = True


@dataclass(frozen=True)
class Axis:
    """An axis: what it shows with its unit, and whether equal distances are equal ratios."""

    label: str
    logarithmic: bool = False


@dataclass(frozen=True)
class Point:
    """A point, with the bands of its coordinates if they have some, and what else there is to say of it."""

    name: str
    x: float
    y: float
    x_band: Band | None = None
    y_band: Band | None = None
    more: tuple[tuple[str, Cell], ...] = ()


@dataclass(frozen=True)
class Series:
    """Points of one kind.

    Attributes
    ----------
    name : str
    points : tuple of Point
    joined : bool
        A line leads through them.
    marks : bool
        Without, they are nothing but that line.
    faint : bool
        They are the background of others.
    """

    name: str
    points: tuple[Point, ...]
    joined: bool = False
    marks: bool = True
    faint: bool = False


@dataclass(frozen=True)
class Scatter:
    """Points over two axes."""

    title: str
    description: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]


Figure = Bars | Scatter
Block = Table | Figure


@dataclass(frozen=True)
class Section:
    """Something that a run has to tell: sentences, then tables and figures."""

    title: str
    sentences: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Page:
    """A whole report.

    Attributes
    ----------
    title : str
    kind : str
        Of the run: `estimate`, `demo`, ...
    highlights : tuple of (str, Cell)
        What a reader wants to know first, at most half a dozen.
    sections : tuple of Section
    """

    title: str
    kind: str
    highlights: tuple[tuple[str, Cell], ...]
    sections: tuple[Section, ...]

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All figures, in their order."""
        return tuple(block for section in self.sections for block in section.blocks if not isinstance(block, Table))


def numbers_of(figure: Figure) -> Table:
    """Return the numbers that a figure draws."""
    match figure:
        case Bars():
            banded = any(bar.band for bar in figure.bars)
            total = (f"{figure.quantity}, all",) if banded else ()
            return Table(f"{figure.title}: numbers", ("", *figure.parts, *total), tuple(
                (bar.name, *bar.values, *((bar.band,) if banded else ())) for bar in figure.bars))
        case Scatter():
            more = tuple(dict.fromkeys(name for series in figure.series for point in series.points
                                       for name, _ in point.more))
            return Table(f"{figure.title}: numbers", ("", "of", figure.x.label, figure.y.label, *more), tuple(
                (point.name, series.name, point.x_band or point.x, point.y_band or point.y,
                 *(dict(point.more).get(name) for name in more))
                for series in figure.series for point in series.points))
