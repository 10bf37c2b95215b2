"""Pins as the command line writes them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sim.errors import InputError
from sim.io.bounds import shown

__all__ = ["parse_pins"]

WIDTHS = re.compile(r"\*|[1-8](-[1-8])?(,[1-8](-[1-8])?)*")


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
        if not layer or not WIDTHS.fullmatch(weights) or not WIDTHS.fullmatch(activations):
            raise InputError("a pin is LAYER=WEIGHTS/ACTIVATIONS with widths such as 8, 2,3, 4-6 or *, not "
                             f"'{shown(text)}'")
        if layer in pins:
            raise InputError(f"pin '{shown(layer)}' is given twice")
        pins[layer] = _widths(weights), _widths(activations)
    return pins


def _widths(text: str) -> tuple[int, ...] | None:
    if text == "*":
        return None
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found |= {*range(int(first), int(last or first) + 1)}
    return tuple(sorted(found))
