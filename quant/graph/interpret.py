"""Run a typed graph: on numbers for its meaning, on tensors without contents for its shapes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor

from quant.graph.graph import Graph, Node
from quant.graph.ops.operator import Operator, Unknown
from sim.errors import InputError

__all__ = ["BATCH", "compute", "fold_constants", "run", "shapes"]

BATCH = 3
"""Images of the batch that shapes are found with."""


def run(graph: Graph, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return all values of a graph by name, constants excepted.

    Parameters
    ----------
    graph : Graph
    inputs : mapping of str to Tensor, shape (batch, ...)
        One for each of the graph's inputs.

    Raises
    ------
    InputError
        If an operator is unknown, or cannot compute what it is given; the message has the node's place.
    """
    values = dict(inputs)
    for node in graph.nodes:
        values[node.output] = compute(graph, node, values)
    return values


def shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Return the shape of one image of every value, by name; what an unknown operator leads to may have none.

    Values that are made of constants alone, such as weights of codes, are left out. What is found is noted in
    `graph.known_shapes`, where it is looked for first.

    Raises
    ------
    InputError
        If shapes do not fit together, or a value loses the batch.
    """
    known = graph.known_shapes
    known |= {given.name: given.shape for given in graph.inputs}
    fixed: dict[str, Tensor] = {}
    for node in graph.nodes:
        if node.output in known:
            continue
        if isinstance(node.operator, Unknown):
            if node.operator.shape is not None:
                known[node.output] = node.operator.shape
        elif all(name in known or name in fixed or name in graph.constants for name in node.inputs):
            given = {name: torch.empty((BATCH, *known[name]), device="meta") if name in known else fixed[name]
                     for name in node.inputs if name not in graph.constants}
            made = compute(graph, node, given)
            if not any(name in known for name in node.inputs):
                fixed[node.output] = made.to("meta")
            elif made.shape[:1] == (BATCH,):
                known[node.output] = tuple(made.shape[1:])
            else:
                raise InputError(f"{node.operator.title} {node.place} mixes the images of a batch")
    return dict(known)


def fold_constants(graph: Graph) -> None:
    """Compute what depends on constants alone, in place."""
    for node in graph.nodes:
        if all(name in graph.constants for name in node.inputs) and not isinstance(node.operator, Unknown):
            graph.constants[node.output] = compute(graph, node, {})
            graph.remove(node)


@lru_cache(maxsize=1024)
def _without_contents(operator: Operator, kinds: tuple[tuple[torch.Size, torch.dtype], ...]) -> Tensor:
    """Return what an operator makes of tensors without contents; deep networks ask for the same many times."""
    return operator.compute(*(torch.empty(size, dtype=dtype, device="meta") for size, dtype in kinds))


def compute(graph: Graph, node: Node, values: Mapping[str, Tensor]) -> Tensor:
    """Return the value of one node; `values` holds those that it reads, constants excepted.

    Raises
    ------
    InputError
        If its operator is unknown or cannot compute what it is given.
    """
    inputs = [values[name] if name in values else graph.constants[name] for name in node.inputs]
    try:
        if any(value.is_meta for value in inputs):  # all reals have one type there
            return _without_contents(node.operator, tuple(
                (value.shape, torch.float32 if value.is_floating_point() else value.dtype) for value in inputs))
        return node.operator.compute(*inputs)
    except InputError as error:
        raise InputError(f"{error} {node.place}") from None
    except Exception as error:  # torch's own reasons are of many types
        reason = str(error).strip().partition("\n")[0]
        listed = ", ".join(str(tuple(value.shape)) for value in inputs)
        raise InputError(f"{node.operator.title} {node.place} cannot read shapes {listed}: {reason}") from error
