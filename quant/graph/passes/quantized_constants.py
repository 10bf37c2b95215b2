"""Constants that another tool has quantized become numbers, and what they are multiples of is noted."""

from __future__ import annotations

import torch
from torch import Tensor

from quant.graph.graph import Graph, Node, Steps
from quant.graph.interpret import compute
from quant.graph.ops.quantization import BipolarQuantize, Dequantize, FakeQuantize
from quant.graph.ops.views import Reshape, Transpose
from quant.graph.passes.rewriting import operator_nodes

__all__ = ["quantized_constants"]


def quantized_constants(graph: Graph) -> None:
    """Compute quantized constants and what only moves them, and note their steps in `graph.steps`."""
    for node in operator_nodes(graph, Dequantize, FakeQuantize, BipolarQuantize, Transpose, Reshape):
        if not all(name in graph.constants for name in node.inputs):
            continue
        found = _steps(graph, node)
        if found is None:
            continue
        graph.constants[node.output] = compute(graph, node, {})
        graph.steps[node.output] = found
        graph.remove(node)


def _steps(graph: Graph, node: Node) -> Steps | None:
    """Return what the constant that a node makes is a multiple of."""
    operator, source = node.operator, node.inputs[0]
    if isinstance(operator, Transpose | Reshape):
        before = graph.steps.get(source)
        if before is None or (isinstance(operator, Reshape) and before.step.numel() > 1):
            return None
        step = operator.compute(before.step) if before.step.numel() > 1 else before.step.reshape(())
        return Steps(step, before.low, before.high, before.bipolar)
    scale = graph.constants[node.inputs[1]]
    if isinstance(operator, BipolarQuantize):
        return Steps(scale, -1, 1, bipolar=True)
    if isinstance(operator, Dequantize):
        values, axis = graph.constants[source].to(torch.int64), operator.axis
        codes = values - _along(graph.constants[node.inputs[2]], axis, values)
        return Steps(_along(scale, axis, values), *_ends(codes))
    assert isinstance(operator, FakeQuantize)
    inputs = [graph.constants[name] for name in node.inputs]
    return Steps(scale, *_ends(operator.codes(*inputs) - inputs[2]))


def _ends(codes: Tensor) -> tuple[int, int]:
    return (int(codes.min()), int(codes.max())) if codes.numel() else (0, 0)


def _along(numbers: Tensor, axis: int | None, values: Tensor) -> Tensor:
    """Return one number, or one for each place of an axis, in a shape that broadcasts; integers widened."""
    numbers = numbers if numbers.is_floating_point() else numbers.to(torch.int64)
    if axis is None or numbers.numel() == 1:
        return numbers.reshape(())
    return numbers.reshape([-1 if place == axis % values.ndim else 1 for place in range(values.ndim)])
