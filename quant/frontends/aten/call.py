"""Calls of ATen operators, as torch.export lists them in memory and in files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sim.errors import InputError

__all__ = ["SYMBOL", "Call", "Listing", "Ref", "bound"]

SYMBOL = object()
"""Stands for a number that is known only when the model runs, such as the size of the batch."""


@dataclass(frozen=True)
class Ref:
    """A tensor among the arguments of a call.

    Attributes
    ----------
    name : str
        Of the value in the listing.
    """

    name: str


@dataclass(frozen=True)
class Call:
    """One operator of a listing.

    Attributes
    ----------
    target : str
        As "aten.conv2d.default".
    given : mapping of str to object
        Arguments by the names of the operator's schema, with its defaults; tensors are `Ref`s.
    outputs : tuple of str
        Names of its values.
    shapes : tuple of (tuple of int) or None
        What the listing says about the shape of one image of each; None where it is not fixed.
    module : str
        Path of the innermost module whose forward makes the call; empty for the model's own.
    leaf : bool
        Whether that module is one of torch's own layers.
    """

    target: str
    given: Mapping[str, Any]
    outputs: tuple[str, ...]
    shapes: tuple[tuple[int, ...] | None, ...]
    module: str
    leaf: bool

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"at '{self.module}'" if self.module else f"at the top of the model (node '{self.outputs[0]}')"

    @property
    def operator(self) -> str:
        """What messages call it: the operator without its namespace and overload."""
        return self.target.split(".")[1]


@dataclass(frozen=True)
class Listing:
    """What torch.export knows of a model.

    Attributes
    ----------
    inputs : mapping of str to tuple of int
        Shape of each, the batch first.
    constants : mapping of str to (str, Tensor)
        The path and value of each parameter, buffer and other constant by its name in the listing.
    calls : sequence of Call
        In the order in which they run.
    outputs : tuple of str
    """

    inputs: Mapping[str, tuple[int, ...]]
    constants: Mapping[str, tuple[str, torch.Tensor]]
    calls: Sequence[Call]
    outputs: tuple[str, ...]


def bound(target: str, positional: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by name, with defaults where nothing is given.

    >>> bound("aten.relu.default", (Ref("x"),), {})
    {'self': Ref(name='x')}

    Raises
    ------
    InputError
        If torch has no such operator, or it has no such argument.
    """
    schema = _schema(target)
    if schema is None:
        return {**{f"argument {place}": value for place, value in enumerate(positional)}, **named}
    names = [argument.name for argument in schema.arguments]
    given = dict(zip(names, positional, strict=False)) | dict(named)
    if len(positional) > len(names) or not given.keys() <= set(names):
        raise InputError(f"{target} takes the arguments {', '.join(names)}; not {', '.join(map(str, given))}")
    return {argument.name: given[argument.name] if argument.name in given else argument.default_value
            for argument in schema.arguments if argument.name in given or argument.has_default_value()}


def _schema(target: str) -> Any:
    """Return the schema of an operator; None if torch does not know it."""
    namespace, _, rest = target.partition(".")
    name, _, overload = rest.partition(".")
    try:
        return getattr(getattr(getattr(torch.ops, namespace), name), overload or "default")._schema
    except AttributeError:
        return None
