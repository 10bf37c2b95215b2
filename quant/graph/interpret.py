"""Run a typed graph: on numbers for its meaning, on tensors without contents for its shapes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from quant.graph.graph import Graph, Node
from quant.graph.ops.operator import Unknown
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

    Values that are made of constants alone, such as weights of codes, are left out.

    Raises
    ------
    InputError
        If shapes do not fit together, or a value loses the batch.
    """
    values = {given.name: torch.empty((BATCH, *given.shape), device="meta") for given in graph.inputs}
    fixed = set(graph.constants)
    for node in graph.nodes:
        if isinstance(node.operator, Unknown):
            if node.operator.shape is not None:
                values[node.output] = torch.empty((BATCH, *node.operator.shape), device="meta")
        elif all(name in values or name in graph.constants for name in node.inputs):
            values[node.output] = compute(graph, node, values)
            if fixed.issuperset(node.inputs):
                fixed.add(node.output)
                values[node.output] = _without_contents(values[node.output])
            elif values[node.output].shape[:1] != (BATCH,):
                raise InputError(f"{node.operator.title} {node.place} mixes the images of a batch")
    return {name: tuple(value.shape[1:]) for name, value in values.items() if name not in fixed}


def fold_constants(graph: Graph) -> None:
    """Compute what depends on constants alone, in place."""
    for node in list(graph.nodes):
        if all(name in graph.constants for name in node.inputs) and not isinstance(node.operator, Unknown):
            graph.constants[node.output] = compute(graph, node, {})
            graph.nodes.remove(node)


def compute(graph: Graph, node: Node, values: Mapping[str, Tensor]) -> Tensor:
    """Return the value of one node; `values` holds those that it reads, constants excepted.

    Raises
    ------
    InputError
        If its operator is unknown or cannot compute what it is given.
    """
    on_meta = any(values[name].is_meta for name in node.inputs if name in values)
    inputs = [values[name] if name in values else
              _without_contents(graph.constants[name]) if on_meta else graph.constants[name] for name in node.inputs]
    try:
        return node.operator.compute(*inputs)
    except InputError as error:
        raise InputError(f"{error} {node.place}") from None
    except Exception as error:  # torch's own reasons are of many types
        reason = str(error).strip().partition("\n")[0]
        listed = ", ".join(str(tuple(value.shape)) for value in inputs)
        raise InputError(f"{node.operator.title} {node.place} cannot read shapes {listed}: {reason}") from error


def _without_contents(value: Tensor) -> Tensor:
    """Return a tensor of the same shape on the meta device; all reals have one type there."""
    return value.to("meta", torch.float32 if value.is_floating_point() else None)
