"""A convolution whose channels are read in slices alone becomes one for each slice: nothing has to be picked."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

from quant.graph.graph import Graph, Node
from quant.graph.ops.composite import Composite
from quant.graph.ops.elementwise import Clip, Elu, HardSigmoid, LeakyRelu, Unary
from quant.graph.ops.linear import Affine, BatchNorm, Conv
from quant.graph.ops.views import Slice
from quant.graph.passes.rewriting import operator_nodes

__all__ = ["split_layers"]

CHANNELWISE = (BatchNorm, Affine, Clip, Unary, Elu, LeakyRelu, HardSigmoid, Composite)
"""What may stand between a convolution and the slices of its channels."""


def split_layers(graph: Graph) -> None:
    """Let convolutions whose channels only slices read, none twice, compute what each of the slices reads by itself."""
    for node in operator_nodes(graph, Conv):
        if cast(Conv, node.operator).groups > 1 or not _is_constant(graph, node) or node.inputs[1] in graph.steps:
            continue
        chain = _with_followers(graph, node)
        slices = sorted(graph.readers(chain[-1].output), key=_start)
        if not slices or graph.is_output(chain[-1].output) or not all(_is_run(reader) for reader in slices):
            continue
        if all(_stop(one) <= _start(other) for one, other in pairwise(slices)):
            for number, part in enumerate(slices, 1):
                graph.replace([part], _computed(graph, chain, part, number))


def _with_followers(graph: Graph, node: Node) -> list[Node]:
    """Return a convolution and what follows it, each read by the next alone and keeping its channels."""
    chain = [node]
    while True:
        following = graph.readers(chain[-1].output)
        if len(following) != 1 or not graph.reads_alone(following[0], chain[-1].output):
            return chain
        (reader,) = following
        if not isinstance(reader.operator, CHANNELWISE) or not _is_constant(graph, reader) or (
                isinstance(reader.operator, Affine) and reader.operator.axis != 1):
            return chain
        chain.append(reader)


def _computed(graph: Graph, chain: list[Node], part: Node, number: int) -> list[Node]:
    """Return the nodes of a chain for the channels of one slice; the last makes the slice's value."""
    channels = len(graph.constants[chain[0].inputs[1]])
    made: list[Node] = []
    for node in chain:
        inputs = [made[-1].output if made else node.inputs[0]]
        for name in node.inputs[1:]:
            constant = graph.constants[name]
            if constant.ndim and len(constant) == channels:
                path, dot, last = name.rpartition(".")
                name = graph.fresh(f"{path}_{number}.{last}" if dot else f"{name}_{number}")
                graph.constants[name] = constant[_start(part) : _stop(part)].clone()
            inputs.append(name)
        output = part.output if node is chain[-1] else graph.fresh(f"{node.output}_{number}")
        made.append(Node(node.operator, tuple(inputs), output, node.place, node.name and f"{node.name}_{number}"))
    return made


def _is_run(reader: Node) -> bool:
    """Return whether a reader takes channels that lie beside each other."""
    return isinstance(reader.operator, Slice) and (reader.operator.axis, reader.operator.step) == (1, 1)


def _start(reader: Node) -> int:
    return reader.operator.start if isinstance(reader.operator, Slice) else 0


def _stop(reader: Node) -> int:
    return cast(Slice, reader.operator).stop


def _is_constant(graph: Graph, node: Node) -> bool:
    return all(name in graph.constants for name in node.inputs[1:])
