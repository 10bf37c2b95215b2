"""One node of an ONNX graph with what it reads, and what the readers of operators need to know of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import NodeProto, helper

from quant.frontends.onnx.builder import Builder
from quant.frontends.onnx.structure import place_of
from quant.frontends.onnx.tensors import Array
from quant.frontends.onnx.values import Known, Number, Value
from quant.graph.ops.operator import Operator
from sim.errors import InputError
from sim.io.bounds import MAX_EXTENT, check_range

__all__ = ["Call", "Made", "Reader"]

WEIGHT = ".weight"
KINDS = {kind: kind for kind in (int, float, str)}
"""Types of attributes by those of their defaults; all others are lists."""


@dataclass(frozen=True)
class Call:
    """One node, as the reader of its operator sees it.

    Attributes
    ----------
    node : NodeProto
    opset : int
        Version of ONNX's own operators.
    inputs : tuple of (Value, Number or None)
        What it reads, of known shapes; None where an optional input is left out.
    builder : Builder
    """

    node: NodeProto
    opset: int
    inputs: tuple[Known | None, ...]
    builder: Builder

    @property
    def x(self) -> Value:
        """The first input, which depends on the network's inputs."""
        return self.value(0)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the first input, the batch first."""
        assert self.x.shape is not None
        return self.x.shape

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return an attribute, texts as str; `default` if it is not given.

        Raises
        ------
        InputError
            If it is of another type than a default that is not None.
        """
        for attribute in self.node.attribute:
            if attribute.name == name:
                found = helper.get_attribute_value(attribute)
                found = found.decode(errors="replace") if isinstance(found, bytes) else found
                if default is not None and type(found) is not KINDS.get(type(default), list):
                    raise InputError(f"{name} must be of type {KINDS.get(type(default), list).__name__}")
                return found
        return default

    def integers(self, name: str, default: Sequence[int], low: int = 1) -> tuple[int, ...]:
        """Return an attribute of as many integers as `default` has, each in low..`MAX_EXTENT`.

        Raises
        ------
        InputError
            If it has another number of integers, or one is out of range.
        """
        found = tuple(self.attribute(name, default))
        if len(found) != len(default):
            raise InputError(f"{name} must have {len(default)} numbers, not {len(found)}")
        for number in found:
            check_range(number, low, MAX_EXTENT, name)
        return found

    def has(self, place: int) -> bool:
        """Return whether an optional input is given."""
        return self.get(place) is not None

    def get(self, place: int) -> Known | None:
        """Return an input, None if it is left out."""
        return self.inputs[place] if place < len(self.inputs) else None

    def given(self, place: int) -> Known:
        """Return an input that must be there.

        Raises
        ------
        InputError
            If it is left out.
        """
        found = self.get(place)
        if found is None:
            raise InputError(f"input {place} is left out")
        return found

    def value(self, place: int) -> Value:
        """Return an input that depends on the network's inputs.

        Raises
        ------
        InputError
            If it is a constant, or left out.
        """
        found = self.given(place)
        if isinstance(found, Number) or not found.batched:
            raise InputError(f"input {place} must depend on the input of the network, and is constant")
        return found

    def number(self, place: int, what: str) -> Array:
        """Return an input that must be known; `what` says what it is: "its weights".

        Raises
        ------
        InputError
            If it depends on the network's inputs, or is left out.
        """
        found = self.given(place)
        if isinstance(found, Value):
            raise InputError(f"{what} must be constant")
        return found.array

    def constant(self, place: int, what: str) -> Known:
        """Return an input that must not depend on the network's inputs: `Number`, or a value made of constants.

        Raises
        ------
        InputError
            If it does, or is left out.
        """
        found = self.given(place)
        if isinstance(found, Value) and found.batched:
            raise InputError(f"{what} must be constant")
        return found

    def option(self, name: str, place: int, since: int) -> list[Any] | Any | None:
        """Return what is an attribute before opset `since` and an input from then on; None if it is left out."""
        if self.opset < since:
            return self.attribute(name)
        return self.number(place, name).tolist() if self.has(place) else None

    def numbers(self, name: str, place: int, since: int) -> list[int] | None:
        """Return an `option` that is a list of integers.

        Raises
        ------
        InputError
            If it is another thing.
        """
        found = self.option(name, place, since)
        if found is None:
            return None
        if not isinstance(found, list) or not all(isinstance(number, int) for number in found):
            raise InputError(f"{name} must be a list of integers")
        return found

    def scalar(self, name: str, place: int, since: int, default: float) -> float:
        """Return an `option` that is one number.

        Raises
        ------
        InputError
            If it is several.
        """
        found = self.option(name, place, since)
        if isinstance(found, list) and len(found) == 1:
            (found,) = found
        if isinstance(found, list):
            raise InputError(f"{name} must be one number")
        return default if found is None else float(found)

    def axis(self, axis: int, rank: int) -> int:
        """Return an axis counted from 0, which must not be the batch.

        Raises
        ------
        InputError
            If there is no such axis, or it is the batch.
        """
        check_range(axis, -rank, rank - 1, "axis")
        if axis % rank == 0:
            raise InputError("it mixes the images of a batch")
        return axis % rank

    def add(self, operator: Operator, *inputs: Known, output: int = 0, weight: Known | None = None,
            part: str = "") -> Value:
        """Add a node of the typed graph.

        Parameters
        ----------
        operator : Operator
        *inputs : Value or Number
        output : int
            Which of the outputs it makes.
        weight : Value or Number, optional
            What names the layer: weights "a.b.weight" are of layer a.b. Default: the node's own name.
        part : str
            What its value is called after the output, if it is not the output itself.
        """
        made = self.node.output[output] or f"{self.node.name}_{output}"
        source = "" if weight is None else weight.name if isinstance(weight, Number) else weight.source
        named = source.endswith(WEIGHT) and source != WEIGHT
        name = source.removesuffix(WEIGHT) if named else self.node.name or made
        return self.builder.add(operator, inputs, f"{made}/{part}" if part else made, place_of(self.node),
                                "" if part else name)

    def renamed(self, array: Array, like: Known, part: str = "") -> Number:
        """Return numbers made from others, which keep their name if `part` is empty."""
        name = like.name if isinstance(like, Number) else self.node.output[0]
        return Number(np.ascontiguousarray(array), f"{name}/{part}" if part else name)

    def refuse_outputs(self, first: int, what: str) -> None:
        """Refuse a node whose outputs from `first` on are used.

        Raises
        ------
        InputError
            If one has a name.
        """
        if any(self.node.output[first:]):
            raise InputError(f"{what} is not computed")


Made = Known | Sequence[Known]
Reader = Callable[[Call], Made]
"""Adds what a node stands for to the typed graph and returns its outputs, or raises InputError with why it cannot."""
