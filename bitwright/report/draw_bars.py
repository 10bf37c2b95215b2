"""Figures of bars as SVG."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bitwright.report.frame import (
    LABELS,
    WIDTH,
    figure_element,
    legend,
    legend_height,
    mark_element,
    part_letter,
    text,
    ticks_along,
)
from bitwright.report.markup import Element, node
from bitwright.report.page import Bar, Bars
from bitwright.report.palette import INK, colour
from bitwright.report.ticks import Scale, scale_over
from sim.io.cells import cell_text

__all__ = ["MOST_BARS", "draw_bars"]

MOST_BARS = 150
ROW, THICK, THIN, LETTER = 20.0, 14.0, 7.5, 9.0
"""Height of a row, of its bar and of one of two bars in it, and the least width of a part that has its letter."""


def draw_bars(figure: Bars, prefix: str) -> Element:
    """Draw bars from top to bottom; of more than MOST_BARS the longest are drawn, in their order.

    Parameters
    ----------
    figure : Bars
    prefix : str
        Of all identifiers in the figure.
    """
    bars = _longest(figure.bars)
    scale = scale_over([_reach(bar, figure.stacked) for bar in bars], from_zero=True)
    top = 8 + legend_height(_names(figure))
    bottom = top + ROW * len(bars)
    left = min(LABELS, 14 + 7.0 * max((len(bar.name) for bar in bars), default=0))
    children = [*(legend(_names(figure), figure.stacked) if len(figure.parts) > 1 else ()),
                *ticks_along(scale, left, WIDTH - 24, top, bottom, figure.quantity)]
    for number, bar in enumerate(bars):
        children.append(_bar(figure, bar, scale, left, top + number * ROW))
    shown = "" if len(bars) == len(figure.bars) else f" The {len(bars)} longest of {len(figure.bars)} are drawn."
    return figure_element(replace(figure, description=figure.description + shown), children, bottom + 40, prefix)


def _bar(figure: Bars, bar: Bar, scale: Scale, left: float, y: float) -> Element:
    wide = WIDTH - 24 - left

    def at(value: float) -> float:
        return left + wide * scale(value)

    def parts() -> Iterator[Element]:
        yield text(bar.name, left - 6, y + ROW / 2 + 4, "end", most=int((left - 10) / 6.6))
        yield node("rect", x=left, y=y, width=wide, height=ROW, fill="#ffffff", fill_opacity=0)
        end = 0.0
        for number, value in enumerate(bar.values):
            start = end if figure.stacked else 0.0
            end = start + value
            height = THICK if figure.stacked else THIN
            if value > 0:
                yield node("rect", x=at(start), y=y + 1 + (0 if figure.stacked else number * (THIN + 1)),
                           width=max(0.4, at(end) - at(start)), height=height, fill=colour(number),
                           stroke="#ffffff", stroke_width=0.5)
                if figure.stacked and len(bar.values) > 1 and at(end) - at(start) > LETTER:
                    yield part_letter(number, (at(start) + at(end)) / 2, y + 13)
        if bar.band:
            low, high, under = at(bar.band.low), at(bar.band.high), y + THICK + 3
            yield node("path", d=f"M{low:.2f} {under - 2:.2f}v4M{low:.2f} {under:.2f}H{high:.2f}M{high:.2f} "
                       f"{under - 2:.2f}v4", stroke=INK, stroke_width=1.2, fill="none")

    return mark_element(_label(figure, bar), parts())


def _label(figure: Bars, bar: Bar) -> str:
    """Say what a bar shows."""
    values = [f"{part} {cell_text(value)}" for part, value in zip(figure.parts, bar.values, strict=True) if value]
    total = [] if len(bar.values) == 1 or not figure.stacked else [f"all {cell_text(sum(bar.values))}"]
    band = [f"band {cell_text(bar.band.low)} to {cell_text(bar.band.high)}"] if bar.band else []
    return f"{bar.name}, {figure.quantity}: {'; '.join([*total, *band, *values]) or 'nothing'}"


def _names(figure: Bars) -> list[str]:
    """Return what the legend calls the parts; of two bars in a row also which is which."""
    if figure.stacked:
        return list(figure.parts)
    return [f"{part} ({place})" for part, place in zip(figure.parts, ("upper", "lower"), strict=True)]


def _reach(bar: Bar, stacked: bool) -> float:
    values = sum(bar.values) if stacked else max(bar.values, default=0.0)
    return max(values, bar.band.high) if bar.band else values


def _longest(bars: tuple[Bar, ...]) -> list[Bar]:
    """Return the longest bars, in their order."""
    chosen = sorted(range(len(bars)), key=lambda number: -sum(bars[number].values))[:MOST_BARS]
    return [bars[number] for number in sorted(chosen)]
