"""What reads a call of an ATen operator into a typed graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from quant.frontends.aten.builder import Builder
from quant.frontends.aten.call import Call
from quant.graph.ops.operator import Operator
from sim.errors import InputError

__all__ = ["Arguments", "Handler", "Made", "axis_of", "operand", "passed", "single"]

Arguments = Mapping[str, Any]
"""Arguments of a call by name; tensors are names of values of the graph."""
Made = str | tuple[str, ...]
"""The names of the values that a call makes."""
Handler = Callable[[Builder, Call, Arguments], Made]


def single(make: Callable[[Arguments], Operator], *operands: str) -> Handler:
    """Return the handler of calls that are one operator of the graph, which reads these arguments (default: self)."""
    names = operands or ("self",)

    def handler(builder: Builder, call: Call, given: Arguments) -> str:
        inputs = [given[name] for name in names if given[name] is not None]
        return builder.add(make(given), inputs, call)
    return handler


def passed(builder: Builder, call: Call, given: Arguments) -> str:
    """Pass on the first operand: the call changes no number."""
    value: str = next(iter(given.values()))
    return value


def axis_of(axis: int, rank: int) -> int:
    """Return an axis counted from the front.

    Raises
    ------
    InputError
        If it is the batch, or there is no such axis.
    """
    if not -rank <= axis < rank:
        raise InputError(f"it takes axis {axis} of a value of {rank} axes")
    if axis % rank == 0:
        raise InputError("it mixes the images of a batch")
    return axis % rank


def operand(builder: Builder, value: Any, call: Call) -> str:
    """Return the name of an operand, which may be a number; of a constant for each image one that is for all."""
    if isinstance(value, str):
        constant = builder.graph.constants.get(value)
        if constant is None or constant.ndim < 2 or len(constant) != builder.batch or (constant != constant[:1]).any():
            return value
        return builder.constant(value, constant[:1])
    if isinstance(value, int | float) and not isinstance(value, bool):
        return builder.constant(f"{call.outputs[0]}.number", torch.tensor(float(value)))
    raise InputError(f"it reads {value!r}")
