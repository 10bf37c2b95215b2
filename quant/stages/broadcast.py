"""How the second of two tensors that are added or multiplied spreads over the first."""

from __future__ import annotations

from collections.abc import Sequence

from sim.errors import InputError
from sim.ir.residual import Broadcast

__all__ = ["broadcast_of", "second_is_larger", "spread_refusal"]


def broadcast_of(larger: Sequence[int], other: Sequence[int]) -> Broadcast | None:
    """Return how a tensor spreads over a larger one: `map`, `channel` or `none`; None if it does not.

    Parameters
    ----------
    larger, other : sequence of int
        Shapes of one image, channels first.

    Examples
    --------
    >>> broadcast_of((8, 5, 5), (8, 1, 1)), broadcast_of((8, 5, 5), (1, 5, 5)), broadcast_of((8, 5, 5), (1, 1, 1))
    ('map', 'channel', None)
    """
    if tuple(larger) == tuple(other):
        return "none"
    if len(larger) != len(other):
        return None
    if other[0] == larger[0] and all(size == 1 for size in other[1:]):
        return "map"
    return "channel" if other[0] == 1 and tuple(other[1:]) == tuple(larger[1:]) else None


def second_is_larger(shapes: Sequence[Sequence[int]], what: str) -> bool | None:
    """Return whether the first of two tensors spreads over the second, False if the second does over the first; None if
    they have one shape.

    Parameters
    ----------
    shapes : sequence of two shapes of one image
    what : str
        Joins the tensors, for the message.

    Raises
    ------
    InputError
        If neither spreads over the other.
    """
    one, other = shapes
    if tuple(one) == tuple(other):
        return None
    if broadcast_of(one, other) is None and broadcast_of(other, one) is None:
        raise spread_refusal(shapes, what)
    return broadcast_of(one, other) is None


def spread_refusal(shapes: Sequence[Sequence[int]], what: str) -> InputError:
    """Return the refusal of two tensors of which neither spreads over the other."""
    return InputError(f"{what} joins shapes {shapes[0]} and {shapes[1]} per image; the machine adds and multiplies "
                      "tensors of one shape, or one of them with a value per channel or with one channel")
