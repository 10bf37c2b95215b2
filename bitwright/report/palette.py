"""Colours that colour-blind readers tell apart, and letters and shapes for who sees none."""

from __future__ import annotations

from string import ascii_lowercase

__all__ = ["INK", "MARKS", "colour", "ink_on", "letter"]

INK = "#222222"
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999", "#332288", "#882255",
           "#44AA99")
"""Those of Okabe and Ito, and three of Tol's."""
DARK = {"#0072B2", "#332288", "#882255"}
"""Colours on which letters are white."""
MARKS = ("circle", "square", "diamond", "triangle", "cross")
"""Shapes of the points of series."""


def colour(number: int) -> str:
    """Return the colour of a part or series."""
    return COLOURS[number % len(COLOURS)]


def ink_on(number: int) -> str:
    """Return the colour of letters on a part."""
    return "#ffffff" if colour(number) in DARK else INK


def letter(number: int) -> str:
    """Return the letter that stands for a part where there is room for it."""
    return ascii_lowercase[number % len(ascii_lowercase)]
