"""Images whose channels come last, and are transposed before the first layer, are given with their channels first."""

from __future__ import annotations

from dataclasses import replace

from quant.graph.graph import Graph, Node
from quant.graph.ops.elementwise import Binary, Clip, Unary
from quant.graph.ops.linear import Affine
from quant.graph.ops.quantization import BipolarQuantize, Dequantize, FakeQuantize, Quantize
from quant.graph.ops.views import Transpose
from quant.graph.passes.rewriting import bypass, number

__all__ = ["channels_first_inputs"]

PER_NUMBER = (Affine, Binary, BipolarQuantize, Clip, Dequantize, FakeQuantize, Quantize, Unary)
"""Operators that do the same to every number of a value, if their constants are one number each."""


def channels_first_inputs(graph: Graph) -> None:
    """Let inputs have the order of axes into which everything that reads them brings them first, in place.

    Networks for TensorFlow read images (N, H, W, C), sequences (N, L, C), and transpose them before the first layer,
    some after they have rounded or scaled them.
    """
    for given in graph.inputs:
        last = len(given.shape)
        first = Transpose((0, last, *range(1, last)))
        between = _values_before(graph, given.name, first) if last >= 2 else None
        if between is None:
            continue
        for name in between:
            graph.known_shapes.pop(name, None)
            for reader in graph.readers(name):
                if reader.operator == first:
                    bypass(graph, reader)
        graph.replace_input(given.name, replace(given, shape=(given.shape[-1], *given.shape[:-1])))


def _values_before(graph: Graph, name: str, first: Transpose) -> list[str] | None:
    """Return an input and what is computed number by number from it before `first`, None if anything else reads it."""
    values = [name]
    for value in values:
        readers = [reader for reader in graph.readers(value) if reader.operator != first]
        if graph.is_output(value) or not graph.readers(value) or not all(
                _is_per_number(graph, reader, value) for reader in readers):
            return None
        values += [reader.output for reader in readers]
    return values


def _is_per_number(graph: Graph, node: Node, value: str) -> bool:
    others = [name for name in node.inputs if name != value]
    return (isinstance(node.operator, PER_NUMBER) and len(others) == len(node.inputs) - 1
            and all(number(graph, name) is not None for name in others))
