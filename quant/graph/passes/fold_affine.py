"""Constants and BatchNorms move into the sums of products before or after them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from quant.graph.graph import Graph, Node
from quant.graph.interpret import shapes
from quant.graph.ops.linear import Affine, BatchNorm, Conv, ConvTranspose, Linear
from quant.graph.passes.rewriting import bypass, made_by, operator_nodes, set_constant

__all__ = ["fold_affine", "merge_affine", "norms_to_affine"]


def norms_to_affine(graph: Graph) -> None:
    """Make BatchNorms that follow no convolution `Affine`, where a linear layer or constants can take them up."""
    for node in operator_nodes(graph, BatchNorm):
        before = graph.maker(node.inputs[0])
        readers = graph.readers(node.output)
        takes = (before is not None and isinstance(before.operator, Linear | Affine | ConvTranspose)) or (
            len(readers) == 1 and isinstance(readers[0].operator, Linear | BatchNorm))
        if takes and all(name in graph.constants for name in node.inputs[1:]):
            _as_affine(graph, node)


def merge_affine(graph: Graph) -> None:
    """Make one `Affine` of two in a row, where the same axis or single numbers are multiplied and added."""
    for node in operator_nodes(graph, Affine):
        before = made_by(graph, node, 0, Affine)
        if before is None:
            continue
        (gain, shift), (gain_before, shift_before) = _numbers(graph, node), _numbers(graph, before)
        if node.operator != before.operator and min(gain.numel(), gain_before.numel()) > 1:
            continue
        axis = node.operator if gain.numel() > 1 else before.operator
        made = Node(axis, (before.inputs[0], *node.inputs[1:]), node.output, node.place, node.name)
        graph.replace([before, node], [made])
        made = set_constant(graph, made, 1, gain * gain_before)
        set_constant(graph, made, 2, gain * shift_before + shift)


def fold_affine(graph: Graph) -> None:
    """Let convolutions, linear layers and BatchNorms multiply and add what an `Affine` after or before them does."""
    sizes = shapes(graph)
    for node in operator_nodes(graph, Affine):
        before = made_by(graph, node, 0, Conv, Linear, BatchNorm)
        if before is not None and _is_constant(graph, before):
            _fold_back(graph, node, before, len(sizes[node.inputs[0]]))
    for node in reversed(list(operator_nodes(graph, Affine))):
        reader = next(iter(graph.readers(node.output)), None)
        if reader is not None and graph.reads_alone(reader, node.output) and _is_constant(graph, reader):
            _fold_forward(graph, node, reader, len(sizes[node.inputs[0]]))


def _fold_back(graph: Graph, node: Node, before: Node, rank: int) -> None:
    gain, shift = _numbers(graph, node)
    assert isinstance(node.operator, Affine)
    if gain.numel() > 1 and node.operator.axis != (rank if isinstance(before.operator, Linear) else 1):
        return
    if isinstance(before.operator, BatchNorm):
        changes: dict[int, Callable[[Tensor], Tensor]] = {1: lambda old: old * gain, 2: lambda old: old * gain + shift}
    else:
        weight = graph.constants[before.inputs[1]]
        every = gain.reshape(-1, *[1] * (weight.ndim - 1))
        changes = {1: lambda old: old * every, 2: lambda old: old * gain + shift}
    for index, change in changes.items():
        before = set_constant(graph, before, index, change(_operand(graph, before, index)))
    bypass(graph, node)


def _fold_forward(graph: Graph, node: Node, reader: Node, rank: int) -> None:
    """Fold into a layer that reads an `Affine`, unless it pads: zeros would have to become shifts."""
    gain, shift = _numbers(graph, node)
    assert isinstance(node.operator, Affine)
    operator, axis = reader.operator, node.operator.axis
    if reader.inputs[0] != node.output:
        return
    if isinstance(operator, Conv):
        padded = any(end for pads in operator.pads for end in pads)
        if (padded and bool(shift.any())) or (gain.numel() > 1 and axis != 1) or operator.groups != 1:
            return
    elif not isinstance(operator, Linear) or (gain.numel() > 1 and axis != rank):
        return
    weight = graph.constants[reader.inputs[1]]
    shape = (1, -1, *[1] * (weight.ndim - 2))
    added = (weight * shift.reshape(shape)).sum(tuple(range(1, weight.ndim)))
    if bool(added.any()):
        reader = set_constant(graph, reader, 2, _operand(graph, reader, 2) + added)
    set_constant(graph, reader, 1, weight * gain.reshape(shape))
    bypass(graph, node)


def _as_affine(graph: Graph, node: Node) -> None:
    assert isinstance(node.operator, BatchNorm)
    gain, shift, mean, variance = (graph.constants[name].double() for name in node.inputs[1:])
    gain = gain / torch.sqrt(variance + node.operator.eps)
    dtype = graph.constants[node.inputs[1]].dtype
    made = Node(Affine(1), node.inputs[:3], node.output, node.place, node.name)
    graph.replace([node], [made])
    made = set_constant(graph, made, 1, gain.to(dtype))
    set_constant(graph, made, 2, (shift - mean * gain).to(dtype))


def _numbers(graph: Graph, node: Node) -> tuple[Tensor, Tensor]:
    return graph.constants[node.inputs[1]], graph.constants[node.inputs[2]]


def _is_constant(graph: Graph, node: Node) -> bool:
    return all(name in graph.constants for name in node.inputs[1:])


def _operand(graph: Graph, node: Node, index: int) -> Tensor:
    """Return a constant operand; a missing bias is zeros."""
    if index < len(node.inputs):
        return graph.constants[node.inputs[index]]
    weight = graph.constants[node.inputs[1]]
    return weight.new_zeros(len(weight))
