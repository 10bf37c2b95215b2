"""Zeros around a map that a call by itself puts there, for the convolution that follows."""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from quant.trace.calls import arguments, where
from sim.errors import InputError
from sim.ir.ops import Pads

__all__ = ["added", "pads_of"]

PadLayer = nn.ZeroPad2d | nn.ConstantPad2d

def pads_of(node: fx.Node, module: nn.Module | None) -> Pads:
    """Return the zeros (top, left, bottom, right) that a call of `functional.pad`, or of this module, adds to a map.

    Raises
    ------
    InputError
        If it adds other numbers, or rows or columns that are not on the four sides of a map, or takes some away.
    """
    given: Any = module.padding if isinstance(module, PadLayer) else arguments(node).get("pad")
    value = module.value if isinstance(module, PadLayer) else 0
    if value != 0:
        raise InputError(f"padding {where(node)} must be by zeros, not by {value}")
    sizes = tuple(given) if _are_sizes(given) else ()
    if len(sizes) not in (2, 4, 6, 8) or any(sizes[4:]) or min(sizes) < 0:
        raise InputError(f"padding {where(node)} must be by (left, right) or (left, right, top, bottom), numbers of at "
                         f"least 0, not {given}")
    left, right, top, bottom = (*sizes, 0, 0)[:4]
    return top, left, bottom, right


def added(one: Pads, other: Pads) -> Pads:
    """Return both pads together."""
    top, left, bottom, right = (a + b for a, b in zip(one, other, strict=True))
    return top, left, bottom, right


def _are_sizes(given: Any) -> bool:
    return isinstance(given, tuple | list) and all(type(size) is int for size in given) and len(given) > 0
