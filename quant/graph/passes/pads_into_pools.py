"""Pads become those of the pool that reads them."""

from __future__ import annotations

from dataclasses import replace
from math import inf

from quant.graph.graph import Graph, Node
from quant.graph.ops.elementwise import Clip
from quant.graph.ops.pools import AveragePool, MaxPool
from quant.graph.ops.views import Pad
from quant.graph.passes.rewriting import made_by, operator_nodes, swap

__all__ = ["pads_into_pools"]

Pads = tuple[tuple[int, int], ...]


def pads_into_pools(graph: Graph) -> None:
    """Let pools do what a `Pad` before them does: zeros of averages; what never wins, or zeros after a ReLU, of maxima.

    Zeros win among numbers that are at least 0 only where nothing else is in a window.
    """
    for node in operator_nodes(graph, MaxPool, AveragePool):
        pad = made_by(graph, node, 0, Pad)
        if pad is None:
            continue
        assert isinstance(pad.operator, Pad)
        assert isinstance(node.operator, MaxPool | AveragePool)
        kernel, pads = node.operator.kernel, pad.operator.pads
        around = pads[len(pads) - len(kernel):]
        on_map = pad.operator.mode == "constant" and not any(end for axis in pads[:-len(kernel)] for end in axis)
        fits = all(0 <= end < size for axis, size in zip(around, kernel, strict=True) for end in axis)
        if on_map and fits and _means_the_same(graph, node, pad, pad.operator.value):
            _merge(graph, node, pad, around)


def _means_the_same(graph: Graph, node: Node, pad: Node, value: float) -> bool:
    if isinstance(node.operator, AveragePool):
        return value == 0 and node.operator.counted == node.operator.pads
    assert isinstance(node.operator, MaxPool)
    before = graph.maker(pad.inputs[0])
    positive = before is not None and isinstance(before.operator, Clip) and before.operator.low >= 0
    inside = set(node.operator.dilation) == {1}
    return value == -inf or (value == 0 and positive and inside and not any(end for axis in node.operator.pads
                                                                            for end in axis))


def _merge(graph: Graph, node: Node, pad: Node, around: Pads) -> None:
    operator = node.operator
    assert isinstance(operator, MaxPool | AveragePool)
    pads = tuple((before + one, after + other) for (before, after), (one, other) in zip(operator.pads, around,
                                                                                      strict=True))
    if isinstance(operator, AveragePool):
        swap(graph, [pad, node], replace(operator, pads=pads, counted=pads), pad.inputs)
    else:
        swap(graph, [pad, node], replace(operator, pads=pads, ceil=False), pad.inputs)
