"""Widths that a user pins: which bits single layers, or all whose names fit a pattern, may have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from sim.cost.table import CostTable
from sim.errors import InputError
from sim.io.bounds import shown

__all__ = ["Pins", "Widths", "allowed_by"]

Widths = int | Sequence[int] | None
"""One width, several to choose from, or None where all are free [bits]."""

Pins = Mapping[str, tuple[Widths, Widths]]
"""Widths of weights and of the tensor read, by the name of a layer or a pattern with `*`, `?` or `[...]`.

A layer that fits several keys keeps to all of them. What has no choice, the width of an input and `unit` weights, is
not touched by pins."""

Allowed = dict[int, tuple[int, ...]]


def allowed_by(pins: Pins, layers: Sequence[str], table: CostTable) -> tuple[Allowed, Allowed]:
    """Return the widths of weights and of activations that pins leave to each layer, by its index.

    Raises
    ------
    InputError
        If a pin fits no layer, has a width that is no choice of the table, or leaves none to a layer.

    Examples
    --------
    >>> import numpy as np
    >>> table = CostTable(("stem", "fc"), (2, 4, 8), (2, 4, 8), *[np.zeros((2, 3, 3))] * 6, 1.0, 0, 0.0, 0.0)
    >>> allowed_by({"fc": (8, None), "*": ((4, 8), 4)}, table.layers, table)
    ({1: (8,), 0: (4, 8)}, {0: (4,), 1: (4,)})
    """
    weights, activations = Allowed(), Allowed()
    for key, pair in pins.items():
        found = [row for row, layer in enumerate(layers) if layer == key or fnmatchcase(layer, key)]
        if not found:
            raise InputError(f"pin '{shown(key)}': the program has no such layer; its layers are {', '.join(layers)}")
        for what, allowed, options, widths in (("weights", weights, table.weight_bits, pair[0]),
                                               ("activations", activations, table.activation_bits, pair[1])):
            if widths is not None:
                _narrow(allowed, found, _checked(f"pin '{shown(key)}': widths of {what}", widths, options),
                        f"of the {what} of layer", layers)
    return weights, activations


def _checked(what: str, widths: int | Sequence[int], options: tuple[int, ...]) -> tuple[int, ...]:
    wanted = (widths,) if isinstance(widths, int) else tuple(widths)
    if not wanted or not {*wanted} <= {*options}:
        raise InputError(f"{what} must be some of {', '.join(map(str, options))}, "
                         f"not {', '.join(map(str, wanted)) or 'none'}")
    return wanted


def _narrow(allowed: Allowed, rows: Sequence[int], widths: tuple[int, ...], what: str, layers: Sequence[str]) -> None:
    for row in rows:
        left = tuple(width for width in allowed.get(row, widths) if width in widths)
        if not left:
            raise InputError(f"pins leave no width {what} '{layers[row]}'")
        allowed[row] = left
