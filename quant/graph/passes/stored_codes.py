"""Roundings to codes and back become one operator, at the places where a machine stores what it has computed."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import torch

from quant.graph.graph import Graph, Node
from quant.graph.ops.elementwise import Clip
from quant.graph.ops.linear import Affine
from quant.graph.ops.pools import MaxPool
from quant.graph.ops.quantization import BipolarQuantize, Dequantize, FakeQuantize, Quantize
from quant.graph.ops.views import Gather, Reshape, Slice, Spread, Transpose
from quant.graph.passes.moved_codes import same_numbers
from quant.graph.passes.rewriting import bypass, chain_before, made_by, number, operator_nodes, swap

__all__ = ["affine_into_quantizers", "drop_repeated_quantizers", "join_codes", "quantizers_before_moves"]

MOVES = (Gather, MaxPool, Reshape, Slice, Spread, Transpose)
"""Operators whose numbers are some of those that they read."""


def join_codes(graph: Graph) -> None:
    """Make a `Quantize` and the `Dequantize`s that read it one `FakeQuantize`, of the same scale and zero point.

    Codes that an input gives or an output takes become the values that they mean.
    """
    for node in operator_nodes(graph, Quantize):
        assert isinstance(node.operator, Quantize)
        readers = graph.readers(node.output)
        if any(not isinstance(reader.operator, Dequantize) or not same_numbers(graph, node, reader)
               for reader in readers):
            continue
        fake = FakeQuantize(node.operator.low, node.operator.high, node.operator.rounding, zero_first=False)
        for reader in readers:
            bypass(graph, reader)
        swap(graph, [node], fake, node.inputs)
    for node in operator_nodes(graph, Dequantize):
        if graph.is_input(node.inputs[0]):
            swap(graph, [node], FakeQuantize(*_byte_ends(graph, node), zero_first=False), node.inputs)


def quantizers_before_moves(graph: Graph) -> None:
    """Let quantizers of one scale stand before views, spreads and max pools that they read: rounding keeps the order.

    At an input affine maps of one number move likewise, so that they come to stand before the quantizer.
    """
    for node in operator_nodes(graph, FakeQuantize, BipolarQuantize, Affine):
        affine = isinstance(node.operator, Affine)
        chain = chain_before(graph, node, Reshape, Transpose, *(() if affine else (MaxPool, Spread)))
        if chain and _has_one_step(graph, node) and (not affine or _leads_to_input(graph, chain[0])):
            _put_first(graph, chain, node)


def _has_one_step(graph: Graph, node: Node) -> bool:
    """Return whether the constants of a node are one number each."""
    return all(name in graph.constants and prod(graph.constants[name].shape) == 1 for name in node.inputs[1:])


def _put_first(graph: Graph, chain: list[Node], node: Node) -> None:
    """Let `node` read what the first of a chain reads, and the chain what `node` makes."""
    name = graph.fresh(f"{node.output}.whole")
    operator = replace(node.operator, axis=1) if isinstance(node.operator, Affine) else node.operator
    graph.add(Node(operator, (chain[0].inputs[0], *node.inputs[1:]), name, node.place, node.name), before=chain[0])
    graph.replace([chain[0]], [replace(chain[0], inputs=(name,))])
    bypass(graph, node)


def affine_into_quantizers(graph: Graph) -> None:
    """Let the quantizer of an input multiply and add what stands before it: the host does both."""
    for node in operator_nodes(graph, FakeQuantize, BipolarQuantize):
        before = made_by(graph, node, 0, Affine)
        while before is not None and _leads_to_input(graph, before):
            gain, shift = (number(graph, name) for name in before.inputs[1:])
            operator = node.operator
            assert isinstance(operator, FakeQuantize | BipolarQuantize)
            if gain is None or shift is None or gain <= 0:
                break
            operator = replace(operator, gain=operator.gain * gain, shift=operator.gain * shift + operator.shift)
            node = swap(graph, [before, node], operator, (before.inputs[0], *node.inputs[1:]))
            before = made_by(graph, node, 0, Affine)


def drop_repeated_quantizers(graph: Graph) -> None:
    """Take out quantizers of values that are some of another quantizer's, with the same codes; and of clamped ones."""
    for node in operator_nodes(graph, FakeQuantize, BipolarQuantize):
        source = graph.maker(node.inputs[0])
        while source is not None and isinstance(source.operator, MOVES):
            source = graph.maker(source.inputs[0])
        if source is not None and source.operator == node.operator and same_numbers(graph, node, source):
            bypass(graph, node)


def _leads_to_input(graph: Graph, node: Node) -> bool:
    """Return whether a node reads an input, through others that each have one reader."""
    first, *_ = *chain_before(graph, node, Affine, Reshape, Transpose, Clip), node
    return graph.is_input(first.inputs[0]) and graph.reads_alone(first, first.inputs[0])


def _byte_ends(graph: Graph, node: Node) -> tuple[int, int]:
    """Return the codes of an input that a host gives: those of the zero point's own type."""
    signed = graph.constants[node.inputs[2]].dtype == torch.int8
    return (-128, 127) if signed else (0, 255)
