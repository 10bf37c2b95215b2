"""Constants that multiply, divide, add or subtract become one operator."""

from __future__ import annotations

import torch
from torch import Tensor

from quant.graph.graph import Graph, Node
from quant.graph.interpret import shapes
from quant.graph.ops.elementwise import Binary, Unary
from quant.graph.ops.linear import Affine
from quant.graph.passes.rewriting import operator_nodes, swap

__all__ = ["along", "constants_to_affine"]


def constants_to_affine(graph: Graph) -> None:
    """Make x + c, x - c, c - x, x * c, x / c and -x an `Affine`, where c is one number or differs along one axis."""
    sizes = shapes(graph)
    for node in operator_nodes(graph, Unary):
        if node.operator == Unary("neg"):
            _put(graph, node, node.inputs[0], 1, torch.tensor(-1.0), torch.tensor(0.0))
    for node in operator_nodes(graph, Binary):
        constant = [name in graph.constants for name in node.inputs]
        if constant.count(True) == 1 and (shape := sizes.get(node.inputs[constant.index(False)])) is not None:
            _replace(graph, node, constant.index(False), shape)


def _replace(graph: Graph, node: Node, index: int, shape: tuple[int, ...]) -> None:
    assert isinstance(node.operator, Binary)
    found = along(graph.constants[node.inputs[1 - index]], shape)
    if found is None:
        return
    axis, c = found
    one, zero = torch.ones_like(c), torch.zeros_like(c)
    first = index == 0
    made = {"add": (one, c), "sub": (one, -c) if first else (-one, c), "mul": (c, zero),
            "div": (1 / c, zero) if first else None}.get(node.operator.kind)
    if made is not None and bool(torch.isfinite(made[0]).all()):
        _put(graph, node, node.inputs[index], axis, *made)


def along(constant: Tensor, shape: tuple[int, ...]) -> tuple[int, Tensor] | None:
    """Return the axis of a value along which a constant differs, and its numbers there; None if there is no such axis
    or the value would grow.
    """
    sizes = (1,) * (1 + len(shape) - constant.ndim) + tuple(constant.shape)
    if len(sizes) > 1 + len(shape) or sizes[0] != 1:
        return None
    axes = [axis for axis, size in enumerate(sizes) if size != 1]
    if any(sizes[axis] != shape[axis - 1] for axis in axes):
        return None
    if bool((constant == constant.flatten()[:1]).all()):
        constant, axes = constant.flatten()[:1], []
    if len(axes) > 1:
        return None
    numbers = constant.reshape(-1) if axes else constant.reshape(())
    return (axes or [1])[0], numbers if numbers.is_floating_point() else numbers.float()


def _put(graph: Graph, node: Node, value: str, axis: int, gain: Tensor, shift: Tensor) -> None:
    names = []
    for what, numbers in (("gain", gain), ("shift", shift)):
        names.append(graph.fresh(f"{node.output}.{what}"))
        graph.constants[names[-1]] = numbers
    swap(graph, [node], Affine(axis), (value, *names))
