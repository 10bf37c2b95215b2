"""Codes that a model clamps, picks, pads or pools before they become values."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, floor

import torch

from quant.graph.graph import Graph, Node
from quant.graph.ops.elementwise import Clip
from quant.graph.ops.operator import Operator
from quant.graph.ops.pools import MaxPool
from quant.graph.ops.quantization import Dequantize, Quantize
from quant.graph.ops.views import Gather, Pad, Reshape, Slice, Spread, Transpose
from quant.graph.passes.rewriting import bypass, made_by, operator_nodes, swap

__all__ = ["clips_into_codes", "same_numbers", "values_before_moves"]

MOVES = (Gather, MaxPool, Pad, Reshape, Slice, Spread, Transpose)
"""Operators that give some of the numbers that they read, and pads."""


def clips_into_codes(graph: Graph) -> None:
    """Let a `Quantize` have only the codes that a `Clip` leaves of its own: so codes of few bits are written."""
    for node in operator_nodes(graph, Clip):
        before = made_by(graph, node, 0, Quantize)
        if before is None:
            continue
        codes, ends = before.operator, node.operator
        assert isinstance(codes, Quantize)
        assert isinstance(ends, Clip)
        low, high = max(codes.low, ends.low), min(codes.high, ends.high)
        if low <= high and (low, high) == (ceil(low), floor(high)):
            swap(graph, [before, node], replace(codes, low=int(low), high=int(high)), before.inputs)


def values_before_moves(graph: Graph) -> None:
    """Let codes become values before they are picked, padded or pooled, which gives the same values."""
    moved = True
    while moved:
        moved = False
        for move in reversed(list(operator_nodes(graph, *MOVES))):
            readers = graph.readers(move.output)
            if not graph.is_output(move.output) and move.inputs[0] not in graph.constants and _mean_one(graph, readers):
                _swap(graph, move, readers)
                moved = True


def same_numbers(graph: Graph, one: Node, other: Node) -> bool:
    """Return whether scales and zero points are the same."""
    pairs = [(graph.constants.get(a), graph.constants.get(b))
             for a, b in zip(one.inputs[1:], other.inputs[1:], strict=True)]
    return all(a is not None and b is not None and torch.equal(a.double(), b.double()) for a, b in pairs)


def _mean_one(graph: Graph, readers: list[Node]) -> bool:
    """Return whether codes have readers, and mean the same to all of them."""
    return bool(readers) and all(
        isinstance(reader.operator, Dequantize) and reader.operator.axis is None
        and same_numbers(graph, reader, readers[0]) for reader in readers)


def _swap(graph: Graph, move: Node, readers: list[Node]) -> None:
    """Let values be moved in place of the codes that `readers` take back."""
    first = readers[0]
    values = Node(first.operator, (move.inputs[0], *first.inputs[1:]), graph.fresh(f"{move.inputs[0]}.values"),
                  first.place, first.name)
    graph.replace([move], [values, replace(move, operator=_of_values(graph, move.operator, first),
                                           inputs=(values.output, *move.inputs[1:]))])
    for reader in readers:
        bypass(graph, reader)


def _of_values(graph: Graph, operator: Operator, reader: Node) -> Operator:
    """Return what moves values as an operator moves codes: pads are codes as well."""
    if not isinstance(operator, Pad) or operator.mode != "constant":
        return operator
    scale, zero = (float(graph.constants[name]) for name in reader.inputs[1:])
    return replace(operator, value=(operator.value - zero) * scale)
