"""Maps that are scaled by whole factors take pixels, or averages of two neighbours along each axis."""

from __future__ import annotations

from collections.abc import Sequence

from quant.graph.graph import Graph, Node
from quant.graph.interpret import shapes
from quant.graph.ops.operator import Operator
from quant.graph.ops.pools import AveragePool
from quant.graph.ops.views import Resize, Slice
from quant.graph.passes.rewriting import bypass, operator_nodes

__all__ = ["spell_resizes"]


def spell_resizes(graph: Graph) -> None:
    """Write a `Resize` that divides sizes by whole numbers as slices and an average, and take out one that keeps them.

    Others stay as they are.
    """
    sizes = shapes(graph)
    for node in operator_nodes(graph, Resize):
        resize, before = node.operator, sizes.get(node.inputs[0], ())[1:]
        assert isinstance(resize, Resize)
        if before == resize.size and resize.mode != "bicubic":
            bypass(graph, node)
        elif before and all(extent % size == 0 for extent, size in zip(before, resize.size, strict=True)):
            steps = _steps(resize, before)
            if steps:
                graph.replace([node], _chained(graph, node, steps))


def _steps(resize: Resize, before: Sequence[int]) -> list[Operator]:
    """Return what makes a map smaller by whole factors, nothing if its pixels are not taken so."""
    factors = [extent // size for extent, size in zip(before, resize.size, strict=True)]
    if resize.mode == "nearest":
        return _slices(before, factors, [0] * len(factors))
    if resize.mode == "nearest-exact":
        return _slices(before, factors, [by // 2 for by in factors])
    if resize.mode == "bicubic" or resize.align_corners:
        return []
    odd = [by % 2 for by in factors]  # the middle of an odd number of pixels is a pixel, else it is between two
    if all(odd):
        return _slices(before, factors, [by // 2 for by in factors])
    starts = [(by - 1) // 2 for by in factors]
    cut: list[Operator] = [Slice(axis, start, extent) for axis, (start, extent) in enumerate(
        zip(starts, before, strict=True), 2) if start]
    kernel = tuple(2 - one for one in odd)
    return [*cut, AveragePool(kernel, tuple(factors), ((0, 0),) * len(kernel), None, ((0, 0),) * len(kernel))]


def _slices(before: Sequence[int], factors: Sequence[int], starts: Sequence[int]) -> list[Operator]:
    return [Slice(axis, start, extent, by) for axis, (start, extent, by) in enumerate(
        zip(starts, before, factors, strict=True), 2) if by > 1]


def _chained(graph: Graph, node: Node, steps: Sequence[Operator]) -> list[Node]:
    made, value = [], node.inputs[0]
    for place, operator in enumerate(steps, 1):
        output = node.output if place == len(steps) else graph.fresh(f"{node.output}.{place}")
        made.append(Node(operator, (value,), output, node.place, node.name if place == len(steps) else ""))
        value = output
    return made
