"""What names of an ONNX graph stand for while it is read."""

from __future__ import annotations

from dataclasses import dataclass

from quant.frontends.onnx.tensors import Array

__all__ = ["BATCH", "Known", "Number", "Value", "shape_of"]

BATCH = 1_000_003
"""Images of the batch while a graph is read: a prime that no shape has, so that computed shapes show the batch."""


@dataclass(frozen=True)
class Value:
    """What a node of the typed graph makes, or one of its inputs.

    Attributes
    ----------
    name : str
        In the typed graph.
    shape : tuple of int or None
        With the batch first; None after an unknown operator.
    batched : bool
        Whether it depends on an input; else it is made of constants alone, and no axis is the batch.
    source : str
        Of a value that is made of constants alone: the name of the first of them.
    integers : bool
        Whether the source computes with integers there.
    after : frozenset of str
        Of a value without a shape: names of the values of unknown operators that it depends on.
    """

    name: str
    shape: tuple[int, ...] | None
    batched: bool = True
    source: str = ""
    integers: bool = False
    after: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Number:
    """Numbers that are known before the network runs.

    Attributes
    ----------
    array : array
    name : str
        What the source calls them; those that are only moved to other places keep their name.
    """

    array: Array
    name: str


Known = Value | Number


def shape_of(known: Known) -> tuple[int, ...]:
    """Return the shape of a constant or a value whose shape is known."""
    if isinstance(known, Number):
        return tuple(known.array.shape)
    assert known.shape is not None
    return known.shape
