"""Functions that a model defines itself: their nodes are put where they are called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto
from onnx.inliner import inline_local_functions

from quant.frontends.onnx.structure import MAX_NODES, check_function
from sim.errors import InputError
from sim.io.bounds import shown

__all__ = ["inlined"]

Key = tuple[str, str, str]
"""Domain, name and overload of a function."""


def inlined(model: ModelProto) -> ModelProto:
    """Return a model without functions.

    Raises
    ------
    InputError
        If a function cannot be followed, calls itself, or makes too many nodes.
    """
    functions: dict[Key, FunctionProto] = {}
    for function in model.functions:
        key = (function.domain, function.name, function.overload)
        if key in functions:
            raise InputError(f"it defines function '{shown(function.name)}' twice")
        check_function(function)
        functions[key] = function
    counts: dict[Key, int] = {}
    total = sum(_count(node, functions, counts, ()) for node in _nodes(model.graph))
    if total > MAX_NODES:
        raise InputError(f"it must have at most {MAX_NODES:,} nodes, not {shown(total)} with those of its functions")
    return _without_functions(model)


def _without_functions(model: ModelProto) -> ModelProto:
    """Let onnx put functions where they are called; it copies models, so weights are kept out of it."""
    weights = GraphProto(initializer=model.graph.initializer)
    model.graph.ClearField("initializer")
    model.graph.initializer.extend(
        TensorProto(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type) for tensor in weights.initializer)
    try:
        flat: ModelProto = inline_local_functions(model)
    except Exception as error:  # of C++, of several types
        raise InputError(f"its functions cannot be put where they are called: {shown(error)}") from None
    flat.graph.ClearField("initializer")
    flat.graph.initializer.extend(weights.initializer)
    if flat.functions:
        raise InputError(f"function '{shown(flat.functions[0].name)}' cannot be put where it is called: its version of "
                         "ONNX's operators is another than the model's")
    return flat


def _count(node: NodeProto, functions: Mapping[Key, FunctionProto], counts: dict[Key, int],
           callers: tuple[Key, ...]) -> int:
    """Return how many nodes a node becomes."""
    key = (node.domain, node.op_type, node.overload)
    if key not in functions:
        return 1
    if key in callers:
        raise InputError(f"function '{shown(node.op_type)}' calls itself")
    if len(callers) > 100:
        raise InputError("its functions call one another more than 100 deep")
    if key not in counts:
        counts[key] = sum(_count(inner, functions, counts, (*callers, key)) for inner in _nodes(functions[key]))
    return counts[key]


def _nodes(graph: GraphProto | FunctionProto) -> Iterator[NodeProto]:
    """Yield the nodes of a graph or function, and those of graphs inside them."""
    pending = list(graph.node)
    while pending:
        node = pending.pop()
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                pending += inner.node
