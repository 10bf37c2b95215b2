"""Pins as the command line writes them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sim.errors import InputError
from sim.io.bounds import shown

__all__ = ["parse_pins", "parse_widths"]

WIDTHS = re.compile(r"[1-8](-[1-8])?(,[1-8](-[1-8])?)*")


def parse_pins(texts: Sequence[str]) -> dict[str, tuple[tuple[int, ...] | None, tuple[int, ...] | None]]:
    """Return the widths that `LAYER=WEIGHTS/ACTIVATIONS` texts leave to layers.

    A side is a width, several or a range, or `*` where all are free.

    Raises
    ------
    InputError
        If a text has another form, or a layer is given twice.

    Examples
    --------
    >>> parse_pins(["fc=8/*", "layer1.*=2,3/4-6"])
    {'fc': ((8,), None), 'layer1.*': ((2, 3), (4, 5, 6))}
    """
    pins = {}
    for text in texts:
        layer, _, widths = text.rpartition("=")
        weights, _, activations = widths.partition("/")
        if not layer or not all(side == "*" or _widths(side) for side in (weights, activations)):
            raise InputError("a pin is LAYER=WEIGHTS/ACTIVATIONS with widths such as 8, 2,3, 4-6 or *, not "
                             f"'{shown(text)}'")
        if layer in pins:
            raise InputError(f"pin '{shown(layer)}' is given twice")
        first, second = (None if side == "*" else _widths(side) for side in (weights, activations))
        pins[layer] = first, second
    return pins


def parse_widths(text: str) -> tuple[int, ...]:
    """Return the widths that a text names, rising.

    Raises
    ------
    InputError
        If it has another form.

    Examples
    --------
    >>> parse_widths("1-3,8")
    (1, 2, 3, 8)
    """
    if not _widths(text):
        raise InputError(f"widths are such as 1-8 or 2,4,8, each in 1..8, not '{shown(text)}'")
    return _widths(text)


def _widths(text: str) -> tuple[int, ...]:
    """Return the widths that a text names; none, if it has another form."""
    if not WIDTHS.fullmatch(text):
        return ()
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found |= {*range(int(first), int(last or first) + 1)}
    return tuple(sorted(found))
